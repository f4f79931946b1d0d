"""How the latest versions of a pipeline's ops changed, from the entries of the journal about their versions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, select

from opstore_daemon.metadata.statements import Query, prepared
from opstore_daemon.metadata.tables import Version, Yank
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import OpVersion, SetChange
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.budget import QUERY_STEPS, ROW_STEPS, Budget
from opstore_daemon.rules.set_history import Event, LatestChange, replay
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.reports import history
from opstore_daemon.store.reports.history import Entry
from opstore_daemon.store.snapshot import Snapshot

BLOCK = 1000  # rows of a read


@dataclass(frozen=True, slots=True)
class History:
    """All changes of the latest versions of ops up to a position, in their order.

    `numbers` has the number of each version by its op and sequence.
    """

    ops: Sequence[str]
    changes: Sequence[LatestChange]
    numbers: dict[tuple[str, int], VersionNumber]

    def after(self, position: int) -> list[LatestChange]:
        """Return the changes after that position."""
        return [change for change in self.changes if change.position > position]

    def latest(self, position: int) -> tuple[OpVersion, ...]:
        """Return the latest versions as of that position."""
        sequences = {change.op: change.sequence for change in self.changes if change.position <= position}
        return tuple(OpVersion(op=op, version=self.number(op, sequences.get(op))) for op in self.ops)

    def number(self, op: str, sequence: int | None) -> str | None:
        """Return the number of the version with that sequence; None for None."""
        return None if sequence is None else str(self.numbers[op, sequence])


def read(snapshot: Snapshot, names: Sequence[str], until: int, budget: Budget) -> History:
    """Return the history of these ops up to a position; raise LimitReached if that takes too many steps."""
    events: list[Event] = []
    numbers: dict[tuple[str, int], VersionNumber] = {}
    for name in names:
        op_id = ops.get(snapshot, OpName(name)).id
        for sequence, position, stored, removed, *number in _rows(snapshot, budget, _versions, op_id, until):
            numbers[name, sequence] = VersionNumber(*number)
            if stored != position:
                events.append(Event(position, name, sequence, "registered"))
            if stored is not None and stored <= until:
                events.append(Event(stored, name, sequence, "stored"))
            if removed is not None and removed <= until:
                events.append(Event(removed, name, sequence, "removed"))
        for position, yanked, sequence in _rows(snapshot, budget, _yanks, op_id, until):
            events.append(Event(position, name, sequence, "yanked" if yanked else "unyanked"))
    return History(names, list(replay(sorted(events))), numbers)


def describe(snapshot: Snapshot, found: History, changes: Sequence[LatestChange]) -> list[SetChange]:
    """Return the records of these changes, with what the journal says about each."""
    entries = history.at(snapshot, [change.position for change in changes])
    return [
        record(entry, change.op, found.number(change.op, change.sequence))
        for change, entry in zip(changes, entries, strict=True)
    ]


def record(entry: Entry, op: str, version: str | None) -> SetChange:
    """Return the record of an entry that made `version` the latest one of the op."""
    return SetChange(
        position=entry.position,
        registered_at=entry.at,
        author=entry.author,
        action=entry.action,
        op=op,
        version=version,
        text=entry.text,
    )


def _rows(
    snapshot: Snapshot, budget: Budget, query: Callable[..., Query], op_id: int, until: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query in blocks; the first column orders them."""
    after = 0
    while True:
        rows = snapshot.execute(query(op_id=op_id, after=after, last=until, most=BLOCK)).all()
        budget.spend(QUERY_STEPS + ROW_STEPS * len(rows))
        yield from rows
        if len(rows) < BLOCK:
            return
        after = rows[-1][0]


@prepared
def _versions(*, op_id: int, after: int, last: int, most: int) -> Executable:
    numbers = (Version.major_number, Version.minor_number, Version.patch_number)
    query = select(Version.sequence, Version.position, Version.stored_position, Version.removed_position, *numbers)
    query = query.where(Version.op_id == op_id, Version.sequence > after, Version.position <= last)
    return query.order_by(Version.sequence).limit(most)


@prepared
def _yanks(*, op_id: int, after: int, last: int, most: int) -> Executable:
    query = select(Yank.position, Yank.yanked, Version.sequence).join(Version, Version.id == Yank.version_id)
    query = query.where(Version.op_id == op_id, Yank.position > after, Yank.position <= last)
    return query.order_by(Yank.position).limit(most)
