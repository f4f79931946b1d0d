"""The two ends of a bisection: positions, times or locks, and the sets of the pipeline between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opstore_cli.client import locks
from opstore_cli.client.removed_versions import show_removed_too
from opstore_cli.evidence.timeline import Moment, Timeline, different
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Lock, PipelineRecord, VersionRecord
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.times import AsOf

End = AsOf | Lock | Path

START = AsOf("0")
NAMES = 5  # of ops that a message names


@dataclass(frozen=True, slots=True)
class Ends:
    """Finds the sets of a pipeline between two ends. All methods raise BisectionRefused."""

    client: OpStoreInterface
    pipeline: PipelineRecord

    def between(self, good: End, bad: End | None) -> Timeline:
        """Return the sets from the good end to the bad end (None: now), both of which are complete."""
        until = self._position("bad", bad, None)
        since = self._position("good", good, until)
        try:
            found = self._timeline(since, until)
        except errors.InvalidRequest:
            self._check_order(since, until)
            raise
        first, last = found.moments[0], found.moments[-1]
        if first.missing:
            raise self._incomplete("good", found.since, first, found.first_complete(), "it was complete first at")
        if last.missing:
            raise self._incomplete("bad", found.until, last, found.last_complete(), "it was complete last at")
        if len(found.moments) == 1:
            raise self._refused(
                f"no latest version of its ops changed between the good end, position {found.since}, and the bad end,"
                f" position {found.until}"
            )
        if first.versions == last.versions:
            raise self._refused(
                f"its ops had the same versions at the good end, position {found.since}, and at the bad end,"
                f" position {found.until}"
            )
        return found

    def _check_order(self, since: AsOf | None, until: AsOf | None) -> None:
        """Raise BisectionRefused if the good end is after the bad end, and InvalidRequest for an end in the future."""
        good, bad = self._timeline(since, None).since, self._timeline(None, until).until
        if good > bad:
            raise self._refused(f"the good end, position {good}, is after the bad end, position {bad}")

    def _position(self, name: str, end: End | None, until: AsOf | None) -> AsOf | None:
        """Return an end as a position or a time; that of a lock is the newest one up to `until`."""
        if end is None or isinstance(end, AsOf):
            return end
        lock, pipeline = locks.load(end)
        if pipeline not in (None, self.pipeline.name):
            raise self._refused(f"{_name(end)} is a lock of {pipeline}")
        numbers = self._numbers(lock, _name(end))
        whole = self._timeline(START, until)
        position = whole.last_with(numbers)
        if position is None:
            error = self._refused(self._never(_name(end), whole, numbers), f"give --{name} a position (opstore log)")
            error.python = f"pass {name} a position of the journal: client.log() lists them"
            raise error
        return AsOf(str(position))

    def _numbers(self, lock: Lock, name: str) -> Mapping[str, str]:
        """Return the version number of each op of the lock in this store."""

        def show(reference: Reference) -> VersionRecord:
            return show_removed_too(lambda as_of: self.client.show(str(reference), as_of=as_of))

        numbers = {each.op: each.version for each in locks.records(lock, show)}
        others = sorted(set(self.pipeline.ops) ^ set(numbers))
        if others:
            has = "an op that the pipeline does not have" if others[0] in numbers else "no version of an op"
            raise self._refused(f"{name} has {has}: {', '.join(others[:NAMES])}")
        return numbers

    def _never(self, name: str, whole: Timeline, numbers: Mapping[str, str]) -> str:
        """Return the reason that a lock is no end: which versions differ at the position that is most like it."""
        nearest = whole.nearest(numbers)
        latest = nearest.numbers
        differences = [
            f"{format_reference(op, latest[op])} (in the lock: {numbers[op]})" for op in different(nearest, numbers)
        ]
        more = f" and {len(differences) - NAMES} more" if len(differences) > NAMES else ""
        return (
            f"the versions of {name} were never the latest ones all at once; most like it is position"
            f" {nearest.position}, with {', '.join(differences[:NAMES])}{more}"
        )

    def _timeline(self, since: AsOf | None, until: AsOf | None) -> Timeline:
        name = PipelineName.parse(self.pipeline.name)
        return Timeline.of(self.client.set_history(name, since=since, until=until), self.pipeline.ops)

    def _incomplete(
        self, name: str, position: int, moment: Moment, complete: Moment | None, when: str
    ) -> errors.BisectionRefused:
        ops = ", ".join(moment.missing[:NAMES])
        rest = "it was never complete between the ends" if complete is None else f"{when} position {complete.position}"
        return self._refused(f"at the {name} end, position {position}, there is no version of {ops}; {rest}")

    def _refused(self, reason: str, advice: str = "") -> errors.BisectionRefused:
        return errors.BisectionRefused(pipeline=self.pipeline.name, reason=reason, advice=advice)


def _name(end: Lock | Path) -> str:
    return "the lock" if isinstance(end, Lock) else str(end)
