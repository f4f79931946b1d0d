"""The journal: each change of the store is an entry with a position, in the order of commits."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from opstore_daemon.metadata.statements import Statement
from opstore_daemon.metadata.tables import Counter, Journal

STEP_BACK = 60 * 1_000_000  # microseconds: how far the clock may be behind the last entry's time and still be corrected

Kind = Literal["version", "link", "level", "tag", "yank", "pipeline", "run", "bisection", "removal"]


class Stamp(NamedTuple):
    """What the entries of one transaction share: their time in microseconds since 1970, and their author if known."""

    at: int
    author: str | None = None


class EntryTimes:
    """The times of the entries that this process writes: those of the clock, but never that of the entry before.

    The entries of one transaction share a time, and those of the next one have another: that is how a past state knows
    where a transaction ends. So if the clock stands still, or was set back a little, a time is a microsecond after that
    of the entry before. If it was set back further, the times are those of the clock, as wrong as they may be: a clock
    that was ten years ahead for a minute must not make all later times wrong.
    """

    def __init__(self, clock: Callable[[], datetime], last: int | None) -> None:
        """`last` is the time of the journal's last entry; None if there is none."""
        self._clock, self._last = clock, last

    def next(self) -> int:
        """Return the time for the entries of one transaction. Call it under the lock of the database."""
        now = to_microseconds(self._clock())
        if self._last is not None and 0 <= self._last - now < STEP_BACK:
            now = self._last + 1
        self._last = now
        return now


_NEXT = Statement(update(Counter).values(position=Counter.position + 1).returning(Counter.position))
_APPEND = Statement(insert(Journal))
_LAST = Statement(select(Counter.position))
NEXT = select(Counter.position + 1).scalar_subquery()  # the position of the next entry


def append(connection: Connection, kind: Kind, stamp: Stamp, op_id: int | None = None) -> int:
    """Append an entry, about one op if `op_id` is its id, and return its position.

    The update locks the counter's row until the commit, so transactions commit in the order of their positions.
    """
    position: int = _NEXT.run(connection).scalar_one()
    _APPEND.run(connection, {"position": position, "kind": kind, "op_id": op_id, **stamp._asdict()})
    return position


def append_many(connection: Connection, kind: Kind, stamp: Stamp, op_ids: Sequence[int | None]) -> range:
    """Append an entry for each of these ops (None: about no op), and return their positions."""
    if not op_ids:
        return range(0)
    moved = update(Counter).values(position=Counter.position + len(op_ids)).returning(Counter.position)
    last: int = connection.execute(moved).scalar_one()
    positions = range(last - len(op_ids) + 1, last + 1)
    entries = [
        {"position": position, "kind": kind, "op_id": op_id, **stamp._asdict()}
        for position, op_id in zip(positions, op_ids, strict=True)
    ]
    connection.execute(insert(Journal), entries)
    return positions


def last(connection: Connection) -> int:
    """Return the position of the last entry; 0 if there is none."""
    last: int = _LAST.run(connection).scalar_one()
    return last


def last_time(connection: Connection) -> int | None:
    """Return the time of the last entry; None if there is none."""
    newest = select(Journal.at).order_by(Journal.position.desc()).limit(1)
    return connection.execute(newest).scalar()


def end_of_transaction(connection: Connection, position: int) -> int:
    """Return the position of the last entry of the transaction that wrote the entry of this position.

    The entries of a transaction share a time, and the next entry has another (EntryTimes).
    """
    at = select(Journal.at).where(Journal.position == position).scalar_subquery()
    following = select(Journal.position).where(Journal.position > position, Journal.at != at)
    first = connection.execute(following.order_by(Journal.position).limit(1)).scalar()
    return last(connection) if first is None else first - 1


def start_of_transaction(connection: Connection, position: int) -> int:
    """Return the position of the first entry of the transaction that wrote the entry of this position."""
    at = select(Journal.at).where(Journal.position == position).scalar_subquery()
    preceding = select(Journal.position).where(Journal.position < position, Journal.at != at)
    last = connection.execute(preceding.order_by(Journal.position.desc()).limit(1)).scalar()
    return 1 if last is None else last + 1


def last_at(connection: Connection, at: int) -> int:
    """Return the position of the last entry of the state as of a time; 0 if no entry is that old.

    That is the last entry before the first one that has a later time: the clock may have been set back, and what comes
    after a later time may have happened after it. The state as of the time of an entry ends with the first transaction
    of that time. So once the journal has reached a time, the state as of it never changes.
    """
    following = connection.execute(select(func.min(Journal.position)).where(Journal.at > at)).scalar()
    until = last(connection) if following is None else following - 1
    reached = connection.execute(select(func.min(Journal.position)).where(Journal.at == at)).scalar()
    return until if reached is None or reached > until else end_of_transaction(connection, reached)


def to_microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 (UTC) of a time."""
    return int(time.timestamp()) * 1_000_000 + time.microsecond


def to_datetime(at: int) -> datetime:
    """Return the time in UTC that is `at` microseconds after 1970."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)
