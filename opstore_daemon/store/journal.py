"""The journal: every entry gets the next position, in commit order."""

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from opstore_daemon.metadata.statements import Statement
from opstore_daemon.metadata.tables import Counter, Journal

Kind = Literal["version", "link", "level", "tag", "yank", "pipeline"]

_NEXT = Statement(update(Counter).values(position=Counter.position + 1).returning(Counter.position))
_APPEND = Statement(insert(Journal))
_LAST = Statement(select(Counter.position))
NEXT = select(Counter.position + 1).scalar_subquery()  # the position of the entry that comes next


def append(connection: Connection, kind: Kind, at: int) -> int:
    """The position of a new entry. Its counter row is locked until the commit, so commits come in this order."""
    position: int = _NEXT.run(connection).scalar_one()
    _APPEND.run(connection, {"position": position, "at": at, "kind": kind})
    return position


def last(connection: Connection) -> int:
    """The position of the last entry."""
    last: int = _LAST.run(connection).scalar_one()
    return last


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 in UTC."""
    return int(time.timestamp()) * 1_000_000 + time.microsecond


def moment(at: int) -> datetime:
    """The time of so many microseconds."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)
