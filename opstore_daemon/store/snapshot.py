"""Read the database as it is now, or as of a position of the journal, with the same queries."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)

from opstore_daemon.metadata.statements import Query
from opstore_daemon.metadata.tables import (
    Description,
    Journal,
    Label,
    Link,
    Message,
    Op,
    Pipeline,
    Removal,
    Tag,
    Version,
    Yank,
    aliased,
)
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import PickedYanked
from opstore_daemon.rules.budget import RANGE_STEPS, Budget
from opstore_daemon.store import journal

# Tables with a row for each entry, and in `until` the position of the entry that replaced it.
Replaceable = type[Description | Label | Link | Message | Pipeline | Removal | Tag | Yank]


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """SQL conditions on what a snapshot sees: the current state, or (`past`) that of the parameter `as_of`, a position.

    Each call returns the same objects, so statements with these conditions are built once.
    """

    past: bool

    @property
    def position(self) -> BindParameter[int]:
        """The parameter `as_of` of a past state."""
        return _AS_OF

    @cache  # noqa: B019 - there are two instances
    def in_force(self, table: Replaceable) -> ColumnElement[bool]:
        """Return the condition for entries that no later entry has replaced."""
        if not self.past:
            return table.until.is_(None)
        return and_(table.position <= _AS_OF, or_(table.until.is_(None), table.until > _AS_OF))

    @cache  # noqa: B019
    def exists(self, table: type[Op]) -> ColumnElement[bool]:
        """Return the condition for ops that exist: they were created, and are not removed."""
        return and_(self.created(table), self.op_removed_at(table).is_(None))

    @cache  # noqa: B019
    def created(self, table: type[Op]) -> ColumnElement[bool]:
        """Return the condition for ops that were created, also if they are removed."""
        return table.position <= _AS_OF if self.past else true()

    @cache  # noqa: B019
    def op_removed_at(self, table: type[Op]) -> ScalarSelect[int]:
        """Return the position at which the op was removed, until a push creates it again; NULL if it is not removed."""
        of_op = func.coalesce(Removal.version_id, _OP) == _OP  # as in the index
        removal = select(Removal.position).where(Removal.op_id == table.id, of_op, self.in_force(Removal))
        return removal.correlate(table).scalar_subquery()

    def existing_versions(self, op_id: Any) -> ColumnElement[bool]:
        """Return the condition for versions of the op that exist, by sequence: an index finds the newest one."""
        if not self.past:
            return self.not_removed()
        return and_(Version.sequence <= self.newest_sequence(op_id), self.not_removed())

    @cache  # noqa: B019
    def not_removed(self) -> ColumnElement[bool]:
        """Return the condition for versions that are not removed."""
        if not self.past:
            return Version.removed_position.is_(None)
        return func.coalesce(Version.removed_position, _NEVER) > _AS_OF

    def removed_versions(self, op_id: Any) -> ScalarSelect[int]:
        """Return the number of the op's versions that are removed, which an index counts."""
        removed = aliased(Version)
        count = select(func.count()).where(removed.op_id == op_id, removed.removed_position.is_not(None))
        if self.past:
            count = count.where(removed.removed_position <= _AS_OF)
        return count.correlate_except(removed).scalar_subquery()

    def newest_sequence(self, op_id: Any) -> ScalarSelect[int]:
        """Return the sequence of the op's newest version as of the position: both grow together."""
        known = aliased(Version)
        newest = select(known.sequence).where(known.op_id == op_id, known.position <= _AS_OF)
        newest = newest.correlate_except(known)  # `op_id` may be a column of an enclosing query
        return newest.order_by(known.position.desc()).limit(1).scalar_subquery()

    def entry(self, position: Select[Any]) -> Select[Any]:
        """Return the query for the position and the time of the entry at the position that the given query selects.

        If that is later than the snapshot, of the snapshot's last entry. The time of no entry is 0.
        """
        found = position.subquery()
        last: Any = next(iter(found.c))
        if self.past:
            last = case((last > _AS_OF, _AS_OF), else_=last)
        limited = select(last.label("position")).select_from(found).subquery()
        entry = select(limited.c.position, func.coalesce(Journal.at, 0).label("at"))
        return entry.select_from(limited).outerjoin(Journal, Journal.position == limited.c.position)

    @cache  # noqa: B019
    def stored(self) -> ColumnElement[bool]:
        """Return the condition for versions whose bytes are stored."""
        has_bytes = Version.digest.is_not(None)
        return and_(has_bytes, Version.stored_position <= _AS_OF) if self.past else has_bytes

    @cache  # noqa: B019
    def yanked(self) -> ColumnElement[bool]:
        """Return the condition for versions that are yanked."""
        return exists().where(self._yank()).correlate(Version)

    @cache  # noqa: B019
    def not_yanked(self) -> ColumnElement[bool]:
        """Return the condition for versions that are not yanked."""
        return ~self.yanked()

    @cache  # noqa: B019
    def yank_reason(self) -> ScalarSelect[str | None]:
        """Return the reason why the version is yanked, as a subquery; NULL if it is not."""
        return select(Yank.reason).where(self._yank()).correlate(Version).scalar_subquery()

    def _yank(self) -> ColumnElement[bool]:
        return and_(Yank.version_id == Version.id, Yank.yanked, self.in_force(Yank))


_AS_OF: BindParameter[int] = bindparam("as_of", type_=BigInteger)
_OP: ColumnElement[int] = literal_column("0")  # in place of a version: the op itself was removed
_NEVER: ColumnElement[int] = literal_column(str(2**62))  # after any position
NOW, PAST = TimeFilter(past=False), TimeFilter(past=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one transaction reads: the current state if `position` is None, else the state as of that position.

    `picked_yanked` lists the yanked versions that references selected in it, each once (catalog.references).
    `range_budget` limits how many versions all ranges in references look at: such a transaction may hold up others.
    """

    connection: Connection
    position: int | None = None
    picked_yanked: list[PickedYanked] = field(default_factory=list, compare=False)
    range_budget: Budget = field(default_factory=lambda: Budget(RANGE_STEPS), compare=False)

    @property
    def time_filter(self) -> TimeFilter:
        """The conditions that limit queries to this snapshot."""
        return NOW if self.position is None else PAST

    def execute(self, query: Query | Executable) -> Any:
        """Run the query with the snapshot's position as the parameter `as_of`."""
        values = {} if self.position is None else {"as_of": self.position}
        if isinstance(query, Query):
            return query.statement.run(self.connection, {**query.values, **values})
        return self.connection.execute(query, values)

    def is_visible(self, position: int | None) -> bool:
        """Return whether an entry of that position is in the snapshot; False for None, an entry that does not exist."""
        return position is not None and (self.position is None or position <= self.position)

    def last_position(self) -> int:
        """Return the position of the last entry in the snapshot."""
        return journal.last(self.connection) if self.position is None else self.position


def as_of(connection: Connection, text: str | None) -> Snapshot:
    """Return the snapshot of `--as-of`: a position, or a time in RFC 3339; None: the current state.

    A position means the end of its transaction, because the entries of one transaction became visible together. A time
    never means a state that has an entry of a later time (journal.last_at).
    Raises InvalidRequest for other text, and for a position after the journal's last one.
    """
    if text is None:
        return Snapshot(connection)
    last = Snapshot(connection).last_position()
    if text.isascii() and text.isdigit():
        position = int(text) if len(text) < 19 else last + 1
        if position > last:
            shown = text if len(text) <= 30 else f"{text[:30]}..."
            raise errors.InvalidRequest(
                reason=f"position {shown} does not exist: the journal's last position is {last}"
            )
        return Snapshot(connection, journal.end_of_transaction(connection, position) if position else 0)
    return Snapshot(connection, journal.last_at(connection, journal.to_microseconds(_time(text))))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        rule = "a position of the journal or a time such as 2026-03-01T12:00:00Z"
        raise errors.InvalidRequest(reason=f"{text[:60]!r} is not {rule}") from None
