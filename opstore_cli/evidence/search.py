"""The search for the entry that broke a pipeline: what to run next, or the answer, from the results known so far.

`sets` are what could be run, oldest first: the set at the good end, then the set after each change up to the bad end.
A set is any hashable value, or None if there is nothing to run, since an op has no version then. `results` are those
that are known, by set. The good end counts as passed.

A step is a function of these alone, so a search that starts again with all the results of an earlier one ends at once,
with the same answer.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# `untestable`: a run could not tell; `missing`: it can't be run, which says nothing about the sets beside it.
Result = Literal["passed", "failed", "untestable", "missing"]

_SPREAD = 16  # parts of an interval in which a set is looked for that is not next to an untestable one


@dataclass(frozen=True, slots=True)
class Run:
    """Run the set at `index`; one of `suspects` entries broke the pipeline, which takes about `runs` runs to find."""

    index: int
    suspects: int
    runs: int


@dataclass(frozen=True, slots=True)
class Boundary:
    """The answer: `last_good` passed, `first_bad` failed, and what is between them, `skipped`, can't be tested."""

    last_good: int
    first_bad: int
    skipped: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The bad end did not fail: it passed, so there is nothing to find, or it can't be tested."""

    bad_end: Literal["passed", "untestable"]


def next_step(sets: Sequence[Hashable | None], results: Mapping[Hashable, Result]) -> Run | Boundary | NoAnswer:
    """Return the set to run next, or the answer.

    The bad end is run first. Without untestable sets, at most ceil(log2 n) more runs follow for n changes.

    If the pipeline was broken, mended and broken again, the answer is still a set that passed and the next one, which
    failed. It comes after the newest set that is known to have passed, if that set is in the history once.
    """
    by_set: dict[Hashable, Result] = {**results, sets[0]: "passed"}
    known: list[Result | None] = ["missing" if each is None else by_set.get(each) for each in sets]
    last = len(sets) - 1
    if known[last] is None:
        return Run(last, last, 1 + max(last - 1, 0).bit_length())
    if known[last] != "failed":
        return NoAnswer("passed" if known[last] == "passed" else "untestable")
    start = _newest_passed(sets, known)
    # The fewest runs; then a sure answer before suspects; then the newest, which explains the state at the bad end.
    found = min(_intervals(known, start), key=lambda each: (each.runs, bool(each.skipped), -each.last_good))
    if not found.untested:
        return Boundary(found.last_good, found.first_bad, found.skipped)
    return Run(_near_middle(found, known), found.first_bad - found.last_good, found.runs)


def _newest_passed(sets: Sequence[Hashable | None], known: Sequence[Result | None]) -> int:
    """Return the newest index that is known to have passed, of the good end's set and the sets that occur once.

    A run of another set that occurs several times says something about each of its places. If that moved the search
    away from where it is, the search could take more runs than it promises.
    """
    count = Counter(sets)
    return max(
        index for index, each in enumerate(sets) if known[index] == "passed" and (each == sets[0] or count[each] == 1)
    )


@dataclass(frozen=True, slots=True)
class _Interval:
    """Two sets that passed and failed, without a known passed or failed one between them."""

    last_good: int
    first_bad: int
    untested: tuple[int, ...]
    skipped: tuple[int, ...]

    @property
    def runs(self) -> int:
        return len(self.untested).bit_length()


def _intervals(known: Sequence[Result | None], start: int) -> Iterator[_Interval]:
    """Yield the intervals from `start` on; one of these passed and the last one failed, so there is at least one."""
    good: int | None = None
    for index in range(start, len(known)):
        if known[index] == "passed":
            good = index
        elif known[index] == "failed" and good is not None:
            between = range(good + 1, index)
            untested = tuple(each for each in between if known[each] is None)
            yield _Interval(good, index, untested, tuple(each for each in between if known[each] is not None))
            good = None


def _near_middle(interval: _Interval, known: Sequence[Result | None]) -> int:
    """Return the untested set in the middle, or one that is away from the untestable ones.

    The neighbours of an untestable set are likely to be untestable, too. `git bisect` leaves them at random distances;
    here the places are fixed, so that each search is repeatable: 1/2, 1/4, 3/4, 1/8, ...
    """
    untested = interval.untested
    places = [untested[int(len(untested) * _fraction(number))] for number in range(1, _SPREAD)]
    untestable = [each for each in interval.skipped if known[each] == "untestable"]
    distance = (interval.first_bad - interval.last_good) // 8
    while untestable and distance:
        for place in places:
            if all(abs(place - each) > distance for each in untestable):
                return place
        distance //= 2
    return places[0]


def _fraction(number: int) -> float:
    """Return the number of the van der Corput sequence: 1/2, 1/4, 3/4, 1/8, 5/8, 3/8, 7/8, ..."""
    result, part = 0.0, 0.5
    while number:
        number, digit = divmod(number, 2)
        result, part = result + digit * part, part / 2
    return result
