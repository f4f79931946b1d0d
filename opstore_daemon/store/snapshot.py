"""The database as it is, or as it was when the journal stood at a position: one set of conditions for both."""

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
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.statements import Query
from opstore_daemon.metadata.tables import Journal, Label, Link, Op, Pipeline, Tag, Version, Yank
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import PickedYanked
from opstore_daemon.store import journal

# What is a row for each entry, with the position of the entry that took its place.
Replaced = type[Label | Link | Pipeline | Tag | Yank]


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """The conditions on what is seen: now, or (`then`) as of the position that is the parameter `as_of`.

    The same objects whenever they are asked for, so that statements with them are built once.
    """

    then: bool

    @property
    def position(self) -> BindParameter[int]:
        """The position, where it is `then`."""
        return _AS_OF

    @cache  # noqa: B019 - there are two of them
    def in_force(self, table: Replaced) -> ColumnElement[bool]:
        """The entries that nothing has taken the place of."""
        if not self.then:
            return table.until.is_(None)
        return and_(table.position <= _AS_OF, or_(table.until.is_(None), table.until > _AS_OF))

    @cache  # noqa: B019
    def known(self, table: type[Op]) -> ColumnElement[bool]:
        """The ops that are there."""
        return table.position <= _AS_OF if self.then else true()

    def known_versions(self, op_id: Any) -> ColumnElement[bool]:
        """The op's versions that are there: up to a sequence, so that an index finds where they begin."""
        return Version.sequence <= self.newest_sequence(op_id) if self.then else true()

    def newest_sequence(self, op_id: Any) -> ScalarSelect[int]:
        """The sequence of the op's newest version at the position: sequences and positions grow together."""
        known = aliased(Version)
        newest = select(known.sequence).where(known.op_id == op_id, known.position <= _AS_OF)
        newest = newest.correlate_except(known)  # also where the op is of a query further out
        return newest.order_by(known.position.desc()).limit(1).scalar_subquery()

    @cache  # noqa: B019
    def stored(self) -> ColumnElement[bool]:
        """The versions whose bytes are there."""
        has_bytes = Version.digest.is_not(None)
        return and_(has_bytes, Version.stored_position <= _AS_OF) if self.then else has_bytes

    @cache  # noqa: B019
    def yanked(self) -> ColumnElement[bool]:
        """The versions that are yanked."""
        return exists().where(self._yank()).correlate(Version)

    @cache  # noqa: B019
    def not_yanked(self) -> ColumnElement[bool]:
        """The others."""
        return ~self.yanked()

    @cache  # noqa: B019
    def yank_reason(self) -> ScalarSelect[str | None]:
        """Why the version is yanked; null where it is not."""
        return select(Yank.reason).where(self._yank()).correlate(Version).scalar_subquery()

    def _yank(self) -> ColumnElement[bool]:
        return and_(Yank.version_id == Version.id, Yank.yanked, self.in_force(Yank))


_AS_OF: BindParameter[int] = bindparam("as_of", type_=BigInteger)
NOW, THEN = TimeFilter(then=False), TimeFilter(then=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a read sees. `position` is None for the state that the transaction sees, now.

    `picked_yanked` are the yanked versions that were picked in it (store.lookup), in that order and each once.
    """

    connection: Connection
    position: int | None = None
    picked_yanked: list[PickedYanked] = field(default_factory=list, compare=False)

    @property
    def time_filter(self) -> TimeFilter:
        """The conditions on what is seen."""
        return NOW if self.position is None else THEN

    def execute(self, query: Query | Executable) -> Any:
        """The result of the query."""
        seen = {} if self.position is None else {"as_of": self.position}
        if isinstance(query, Query):
            return query.statement.run(self.connection, {**query.values, **seen})
        return self.connection.execute(query, seen)

    def is_visible(self, position: int | None) -> bool:
        """Whether an entry of that position is seen; None is of an entry that never came."""
        return position is not None and (self.position is None or position <= self.position)

    def last_position(self) -> int:
        """The position of the last entry that is seen."""
        return journal.last(self.connection) if self.position is None else self.position


def as_of(connection: Connection, asked: str | None) -> Snapshot:
    """The view that `--as-of` names: a position, or a time (RFC 3339); None: now.

    A position stands for the end of its transaction: what was written together was never seen apart. Raises
    InvalidRequest where it is neither, or lies ahead.
    """
    if asked is None:
        return Snapshot(connection)
    last = Snapshot(connection).last_position()
    if asked.isascii() and asked.isdigit():
        position = int(asked) if len(asked) < 19 else last + 1
        if position > last:
            raise errors.InvalidRequest(reason=f"the journal's last position is {last}: {asked[:30]} lies ahead")
        at = connection.execute(select(Journal.at).where(Journal.position == position)).scalar()
        if at is None:
            return Snapshot(connection, 0)
        same = select(func.max(Journal.position)).where(Journal.at == at, Journal.position >= position)
        return Snapshot(connection, connection.execute(same).scalar_one())
    before = select(func.max(Journal.position)).where(Journal.at <= journal.microseconds(_time(asked)))
    return Snapshot(connection, connection.execute(before).scalar() or 0)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        rule = "a position of the journal, or a time such as 2026-03-01T12:00:00Z"
        raise errors.InvalidRequest(reason=f"{text[:60]!r} is neither {rule}") from None
