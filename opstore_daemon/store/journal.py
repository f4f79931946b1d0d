"""The journal: each change of the store is an entry with a position, in the order of commits."""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection, insert, select, update

from opstore_daemon.metadata.statements import Statement
from opstore_daemon.metadata.tables import Counter, Journal

Kind = Literal["version", "link", "level", "tag", "yank", "pipeline", "run", "bisection", "removal"]


class Stamp(NamedTuple):
    """What the entries of one transaction share: their time in microseconds since 1970, and their author if known."""

    at: int
    author: str | None = None


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


def last(connection: Connection) -> int:
    """Return the position of the last entry; 0 if there is none."""
    last: int = _LAST.run(connection).scalar_one()
    return last


def to_microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 (UTC) of a time."""
    return int(time.timestamp()) * 1_000_000 + time.microsecond


def to_datetime(at: int) -> datetime:
    """Return the time in UTC that is `at` microseconds after 1970."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)
