"""The sets of a pipeline over time: the latest versions of its ops after each change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opstore_daemon.protocol.records import OpVersion, SetChange, SetHistory

VersionSet = tuple[OpVersion, ...]  # a version of each op, in the order of the pipeline's ops


@dataclass(frozen=True, slots=True)
class Moment:
    """The set from the entry at `position` on: `change` is that entry, None at the beginning of the timeline."""

    position: int
    versions: VersionSet
    change: SetChange | None = None

    @property
    def missing(self) -> list[str]:
        """Return the ops that have no version."""
        return [each.op for each in self.versions if each.version is None]

    @property
    def numbers(self) -> dict[str, str | None]:
        """Return the version number of each op."""
        return {each.op: each.version for each in self.versions}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The sets of a pipeline from the position `since` to `until`. The first moment is `since` itself."""

    since: int
    until: int
    moments: tuple[Moment, ...]

    @classmethod
    def of(cls, history: SetHistory, ops: Sequence[str]) -> "Timeline":
        """Return the timeline of a history, with the versions in the order of the ops."""
        return cls(history.since, history.until, tuple(_moments(history, ops)))

    def last_with(self, numbers: Mapping[str, str]) -> int | None:
        """Return the newest position at which the versions were exactly these, or None."""
        ends = [*(each.position - 1 for each in self.moments[1:]), self.until]
        return next(
            (end for each, end in reversed([*zip(self.moments, ends, strict=True)]) if each.numbers == numbers), None
        )

    def nearest(self, numbers: Mapping[str, str]) -> Moment:
        """Return the moment that differs from these versions in the fewest ops, the newest of several."""
        return min(reversed(self.moments), key=lambda each: len(different(each, numbers)))

    def first_complete(self) -> Moment | None:
        """Return the first moment at which each op has a version, or None."""
        return _first_complete(self.moments)

    def last_complete(self) -> Moment | None:
        """Return the last moment at which each op has a version, or None."""
        return _first_complete(reversed(self.moments))


def different(moment: Moment, numbers: Mapping[str, str]) -> list[str]:
    """Return the ops whose version is not that of `numbers`."""
    return [each.op for each in moment.versions if numbers.get(each.op) != each.version]


def _first_complete(moments: Iterable[Moment]) -> Moment | None:
    return next((each for each in moments if not each.missing), None)


def _moments(history: SetHistory, ops: Sequence[str]) -> Iterator[Moment]:
    latest = {op: OpVersion(op=op, version=None) for op in ops}
    latest |= {each.op: each for each in history.versions if each.op in latest}
    yield Moment(history.since, tuple(latest.values()))
    for change in history.changes:
        latest[change.op] = OpVersion(op=change.op, version=change.version)
        yield Moment(change.position, tuple(latest.values()), change)
