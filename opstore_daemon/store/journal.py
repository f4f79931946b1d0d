"""The journal: each change of the store is an entry with a position, in the order of commits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import BigInteger, Connection, and_, bindparam, case, func, insert, literal_column, select, update

from opstore_daemon.metadata.statements import Statement
from opstore_daemon.metadata.tables import Counter, Journal

STEP_BACK = 60 * 1_000_000  # microseconds: how far the clock may be behind the last entry's time and still be corrected

_LAST_POSITION = "opstore_last_position"  # in the info of a connection: that of the last entry appended on it

Kind = Literal["version", "link", "level", "tag", "yank", "pipeline", "run", "bisection", "removal"]


class Entry(NamedTuple):
    """An entry, told from those of other histories of the store: a copy that was restored gives positions again.

    `at` is its time, in microseconds since 1970. Both are 0 for no entry.
    """

    position: int
    at: int


class Stamp:
    """What the entries of one transaction share: their time, and their author if known.

    The time is that of the clock, but never that of the entry before, whichever daemon wrote it: that is how a past
    state knows where a transaction ends. So if the clock stands still, or was set back a little, it is a microsecond
    after that of the entry before. If it was set back further, it is that of the clock, as wrong as it may be: a clock
    that was ten years ahead for a minute must not make all later times wrong.
    """

    def __init__(self, now: int, author: str | None = None) -> None:
        """`now` is the time of the clock, in microseconds since 1970, read under the lock of the database."""
        self.now, self.author = now, author
        self._at: int | None = None

    @property
    def at(self) -> int:
        """The time of the entries, in microseconds since 1970; known once the first one was appended."""
        if self._at is None:
            raise RuntimeError("the time of the entries is known once the first one was appended")
        return self._at

    @property
    def has_entry(self) -> bool:
        """Whether an entry was appended."""
        return self._at is not None

    def begin(self, at: int) -> None:
        """Set the time, which the counter has assigned to the first entry."""
        self._at = at


_NOW = bindparam("now", type_=BigInteger)
_IS_STEP_BACK = and_(Counter.at >= _NOW, Counter.at < _NOW + STEP_BACK)
_FIRST_AT = case((_IS_STEP_BACK, Counter.at + 1), else_=_NOW)

# There is one row. By its key, because PostgreSQL expects hundreds in a table without statistics, and would plan each
# time for the values of their expressions.
_COUNTER = update(Counter).where(Counter.id == literal_column("1"))

_FIRST = Statement(_COUNTER.values(position=Counter.position + 1, at=_FIRST_AT).returning(Counter.position, Counter.at))
_NEXT = Statement(_COUNTER.values(position=Counter.position + 1).returning(Counter.position))
_APPEND = Statement(insert(Journal))
_LAST = Statement(select(Counter.position))
NEXT = select(Counter.position + 1).scalar_subquery()  # the position of the next entry


def append(connection: Connection, kind: Kind, stamp: Stamp, op_id: int | None = None) -> int:
    """Append an entry, about one op if `op_id` is its id, and return its position.

    The update locks the counter's row until the commit, so transactions commit in the order of their positions.
    """
    position = _next_position(connection, stamp)
    _APPEND.run(connection, {"position": position, "kind": kind, "op_id": op_id, **_shared(stamp)})
    return position


def append_many(connection: Connection, kind: Kind, stamp: Stamp, op_ids: Sequence[int | None]) -> range:
    """Append an entry for each of these ops (None: about no op), and return their positions."""
    if not op_ids:
        return range(0)
    first = last = _next_position(connection, stamp)
    if len(op_ids) > 1:
        moved = _COUNTER.values(position=Counter.position + len(op_ids) - 1).returning(Counter.position)
        last = connection.info[_LAST_POSITION] = connection.execute(moved).scalar_one()
    positions = range(first, last + 1)
    entries = [
        {"position": position, "kind": kind, "op_id": op_id, **_shared(stamp)}
        for position, op_id in zip(positions, op_ids, strict=True)
    ]
    connection.execute(insert(Journal), entries)
    return positions


def _next_position(connection: Connection, stamp: Stamp) -> int:
    """Return the position of the next entry. The first one of a transaction also gets the time of them all."""
    if stamp.has_entry:
        position = _NEXT.run(connection).scalar_one()
    else:
        first = _FIRST.run(connection, {"now": stamp.now}).one()
        position = first.position
        stamp.begin(first.at)
    connection.info[_LAST_POSITION] = position
    return int(position)


def _shared(stamp: Stamp) -> dict[str, object]:
    return {"at": stamp.at, "author": stamp.author}


@contextmanager
def counting(connection: Connection) -> Iterator[Callable[[], int]]:
    """Run a transaction in the context; yield the function that returns the position of the last entry.

    It takes a statement only if the transaction has appended none.
    """
    connection.info.pop(_LAST_POSITION, None)
    yield lambda: connection.info.get(_LAST_POSITION) or last(connection)


def last(connection: Connection) -> int:
    """Return the position of the last entry; 0 if there is none."""
    last: int = _LAST.run(connection).scalar_one()
    return last


def end_of_transaction(connection: Connection, position: int) -> int:
    """Return the position of the last entry of the transaction that wrote the entry of this position.

    The entries of a transaction share a time, and the next entry has another (Stamp).
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
