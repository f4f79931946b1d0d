"""Results of requests with an idempotency key, kept for a day so that a repeated request changes nothing.

A token may have a million of them: about twelve requests a second, all day.
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Executable, and_, delete, func, insert, literal, select, tuple_

from opstore_daemon.metadata.lookups import ONE
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import IdempotentResult
from opstore_daemon.protocol import errors
from opstore_daemon.store.quota import Quota

RETENTION = 24 * 3600 * 1_000_000  # microseconds
MAX_RESULTS = 1_000_000  # of a token
DELETED_AT_ONCE = 100  # results that one request deletes, so that none ever deletes those of a whole day


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request with an idempotency key: its owner, the key, and the SHA-256 (in hex) of its content."""

    owner: str
    key: str
    request: str


class Found(NamedTuple):
    """The result of an earlier request, None if there is none; and the time of the oldest result of any request."""

    body: bytes | None
    oldest_at: int | None


def find(connection: Connection, request: IdempotentRequest) -> Found:
    """Return the result of an earlier request with the key; raise KeyReused if its content was different."""
    oldest_at, earlier, body = _result(owner=request.owner, key=request.key).run(connection).one()
    if earlier not in (None, request.request):
        raise errors.KeyReused(key=request.key)
    return Found(None if body is None else str(body).encode(), oldest_at)


def save(connection: Connection, request: IdempotentRequest, body: bytes, now: int) -> None:
    """Save the result of the request; `now` in microseconds since 1970.

    Call it in the transaction that the result describes.
    """
    row = {"owner": request.owner, "key": request.key, "request": request.request, "body": body.decode(), "at": now}
    _SAVE.run(connection, row)


def is_expired(at: int | None, now: int) -> bool:
    """Return whether a result of that time is older than a day; `now` in microseconds since 1970."""
    return at is not None and at < now - RETENTION


def delete_expired(connection: Connection, now: int) -> bool:
    """Delete results that are older than a day, at most DELETED_AT_ONCE; return whether there may be more.

    `now` in microseconds since 1970.
    """
    if not is_expired(_OLDEST.run(connection).scalar(), now):
        return False
    deleted = _delete_older(DELETED_AT_ONCE, time=now - RETENTION).run(connection).all()
    return len(deleted) == DELETED_AT_ONCE


def quota() -> Quota:
    """Return the quota of the results in one database."""
    frees = "each expires after a day"
    return Quota(MAX_RESULTS, "results of requests with an idempotency key", frees, _count)


def _count(connection: Connection, owner: str) -> int:
    count: int = _count_of(owner=owner).run(connection).scalar_one()
    return count


_SAVE = Statement(insert(IdempotentResult))
# By itself: each request looks for expired results, and PostgreSQL would read all of them to delete none, as long as it
# has no statistics about the table.
_OLDEST_AT = select(IdempotentResult.at).order_by(IdempotentResult.at).limit(ONE)
_OLDEST = Statement(_OLDEST_AT)


@prepared
def _result(*, owner: str, key: str) -> Executable:
    is_same = and_(IdempotentResult.owner == owner, IdempotentResult.key == key)
    query = select(_OLDEST_AT.scalar_subquery(), IdempotentResult.request, IdempotentResult.body)
    return query.select_from(select(literal(1)).subquery().outerjoin(IdempotentResult.__table__, is_same))


@prepared
def _delete_older(limit: int, *, time: int) -> Executable:
    key = (IdempotentResult.owner, IdempotentResult.key)
    older = select(*key).where(IdempotentResult.at < time).order_by(IdempotentResult.at).limit(limit)
    return delete(IdempotentResult).where(tuple_(*key).in_(older)).returning(IdempotentResult.key)


@prepared
def _count_of(*, owner: str) -> Executable:
    return select(func.count()).select_from(IdempotentResult).where(IdempotentResult.owner == owner)
