"""The search for the entry that broke a pipeline, compared with a linear scan, and the number of its runs."""

from collections.abc import Hashable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_cli.evidence.search import Boundary, NoAnswer, Result, Run, next_step
from tests.support.examples import examples

Sets = Sequence[Hashable | None]


def search(
    sets: Sets, oracle: Mapping[Hashable, Result], kept: Mapping[Hashable, Result] | None = None
) -> tuple[Boundary | NoAnswer, list[int], dict[Hashable, Result]]:
    """Search with an oracle in place of a command; return the answer, what was run, and all results."""
    results, ran = dict(kept or {}), []
    while isinstance(step := next_step(sets, results), Run):
        assert sets[step.index] not in results
        results[sets[step.index]] = oracle[sets[step.index]]
        ran.append(step.index)
    return step, ran, results


def scan(sets: Sets, oracle: Mapping[Hashable, Result]) -> tuple[set[Boundary], Result]:
    """Return every answer that is true, and the result at the bad end, by a look at each set in turn."""
    known: list[Result] = ["missing" if each is None else oracle[each] for each in sets]
    known[0] = "passed"
    found, good = set(), 0
    for index, result in enumerate(known):
        if result == "passed":
            good = index
        elif result == "failed" and known[good] == "passed" and "failed" not in known[good:index]:
            found.add(Boundary(good, index, tuple(range(good + 1, index))))
    return found, known[-1]


def monotonic(changes: int, first_bad: int) -> dict[Hashable, Result]:
    return {each: "passed" if each < first_bad else "failed" for each in range(changes + 1)}


def bound(changes: int) -> int:
    """Return ceil(log2 n) + 1."""
    return (changes - 1).bit_length() + 1


def results_of(words: Sequence[Result], sets: Sets) -> st.SearchStrategy[dict[Hashable, Result]]:
    kinds = sorted({each for each in sets if each is not None}, key=str)
    return st.fixed_dictionaries({each: st.sampled_from(words) for each in kinds})


# Sets come back after a yank; None is a set without a version of some op. The good end always has a set.
HISTORIES = st.builds(
    lambda first, others: [first, *others],
    st.integers(0, 30),
    st.sampled_from([6, 20, 60]).flatmap(
        lambda most: st.lists(st.one_of(st.integers(0, most), st.none()), min_size=1, max_size=40)
    ),
)


@pytest.mark.slow
@pytest.mark.oracle
@examples(2000)
@given(st.data())
def test_the_answer_is_one_that_a_linear_scan_finds(data: st.DataObject) -> None:
    sets = data.draw(HISTORIES)
    oracle = data.draw(results_of(["passed", "failed", "untestable", "missing"], sets))
    oracle[sets[0]] = "passed"
    kept = {each: oracle[each] for each in data.draw(st.lists(st.sampled_from(sets))) if each is not None}

    answer, ran, results = search(sets, oracle, kept)
    true_answers, bad_end = scan(sets, oracle)

    if bad_end == "failed":
        assert answer in true_answers
    else:
        assert answer == NoAnswer("passed" if bad_end == "passed" else "untestable")
        assert len(ran) <= 1
    assert len({sets[each] for each in ran}) == len(ran)  # each set once
    assert search(sets, oracle, results) == (answer, [], results)  # again: the same answer, and nothing runs


@pytest.mark.oracle
@examples(2000)
@given(st.data())
def test_without_untestable_sets_the_runs_are_bounded(data: st.DataObject) -> None:
    sets = [each for each in data.draw(HISTORIES) if each is not None]
    sets = sets if len(sets) > 1 else [*sets, 99]
    oracle = data.draw(results_of(["passed", "failed"], sets))
    oracle[sets[0]] = "passed"
    kept = {each: oracle[each] for each in data.draw(st.lists(st.sampled_from(sets)))}

    assert len(search(sets, oracle)[1]) <= bound(len(sets) - 1)
    assert len(search(sets, oracle, kept)[1]) <= bound(len(sets) - 1)


@pytest.mark.parametrize("changes", [1, 2, 3, 5, 8, 63, 64, 65])
def test_each_entry_is_found_in_at_most_log2_plus_one_runs(changes: int) -> None:
    for first_bad in range(1, changes + 1):
        answer, ran, _ = search(range(changes + 1), monotonic(changes, first_bad))

        assert answer == Boundary(first_bad - 1, first_bad, ())
        assert len(ran) <= bound(changes)
        assert ran[0] == changes  # the bad end first


@pytest.mark.oracle
@examples(500)
@given(st.integers(2, 200), st.data())
def test_of_a_pipeline_that_broke_once_the_suspects_have_the_first_bad_entry(changes: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, changes))
    oracle = monotonic(changes, first_bad)
    for each in data.draw(st.sets(st.integers(1, changes - 1))):
        oracle[each] = "untestable"

    answer, ran, _ = search(range(changes + 1), oracle)

    assert isinstance(answer, Boundary)
    assert first_bad in (*answer.skipped, answer.first_bad)
    assert answer.last_good < first_bad <= answer.first_bad
    assert len(ran) <= changes


def test_a_block_of_untestable_sets_is_left_after_few_runs() -> None:
    """The sets in the middle can't be tested, as after a version that was removed; the entry is beside them."""
    oracle = monotonic(64, 60)
    oracle |= dict.fromkeys(range(9, 56), "untestable")

    answer, ran, _ = search(range(65), oracle)

    assert answer == Boundary(59, 60, ())
    assert len(ran) < 16


def test_untestable_sets_between_make_suspects() -> None:
    oracle: dict[Hashable, Result] = {0: "passed", 1: "passed", 2: "untestable", 3: "untestable", 4: "failed"}

    assert search(range(5), oracle)[0] == Boundary(1, 4, (2, 3))


def test_sets_that_are_missing_cost_no_runs() -> None:
    """The sets beside them are as good as any other, so the search is a plain bisection of those that are there."""
    oracle = monotonic(64, 12)
    oracle |= dict.fromkeys(range(20, 60), "missing")
    kept = {each: result for each, result in oracle.items() if result == "missing"}

    answer, ran, _ = search(range(65), oracle, kept)

    assert answer == Boundary(11, 12, ())
    assert len(ran) <= bound(64 - len(kept))


def test_a_sure_answer_comes_before_suspects() -> None:
    kept: dict[Hashable, Result] = {1: "passed", 2: "failed", 3: "untestable", 4: "failed"}

    assert next_step([0, 1, 2, 1, 3, 4], kept) == Boundary(1, 2, ())


def test_of_a_pipeline_that_was_mended_the_answer_is_the_last_break() -> None:
    """Nightly runs are kept: a break that was mended says nothing about the state at the bad end."""
    kept: dict[Hashable, Result] = {1: "passed", 2: "failed", 30: "passed", 64: "failed"}

    answer, ran, _ = search(range(65), monotonic(64, 40), kept)

    assert answer == Boundary(39, 40, ())
    assert len(ran) <= bound(34)


def test_a_set_that_comes_back_by_a_yank_is_run_once() -> None:
    """1: a bad version; 0: it is yanked; 1: and unyanked."""
    assert search([0, 1, 0, 1], {0: "passed", 1: "failed"})[:2] == (Boundary(2, 3, ()), [3])


def test_a_set_that_comes_back_and_passed_starts_no_longer_search() -> None:
    """The run of 1 passes, and so does its second place, 9, from where the rest would take more runs than promised."""
    sets = [*range(9), 1, *range(10, 17)]
    oracle: dict[Hashable, Result] = {**dict.fromkeys(sets, "failed"), 0: "passed", 1: "passed"}

    answer, ran, _ = search(sets, oracle)

    assert answer in scan(sets, oracle)[0]
    assert len(ran) <= bound(len(sets) - 1)


def test_a_set_without_a_version_of_each_op_is_never_run() -> None:
    assert search([0, None, 2], {0: "passed", 2: "failed"})[:2] == (Boundary(0, 2, (1,)), [2])


def test_a_step_says_how_many_entries_and_runs_are_left() -> None:
    assert next_step(range(65), {}) == Run(index=64, suspects=64, runs=7)
    assert next_step(range(65), {64: "failed"}) == Run(index=32, suspects=64, runs=6)
    assert next_step(range(65), {64: "failed", 32: "passed"}) == Run(index=48, suspects=32, runs=5)
