"""Answers to requests with an idempotency key, kept so that a repeated request has the effect of one."""

from dataclasses import dataclass

from sqlalchemy import Connection, Executable, delete, insert, select

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Answer
from opstore_daemon.protocol import errors

RETENTION = 24 * 3600 * 1_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that is to happen once: whose it is, its key, and the SHA-256 of what it asks."""

    owner: str
    key: str
    request: str


def find(connection: Connection, request: IdempotentRequest) -> bytes | None:
    """What the request was answered before, or None; raises KeyReused where the key came with another request."""
    row = _answer(owner=request.owner, key=request.key).run(connection).one_or_none()
    if row is None:
        return None
    if row.request != request.request:
        raise errors.KeyReused(key=request.key)
    return str(row.body).encode()


def save(connection: Connection, request: IdempotentRequest, body: bytes, now: int) -> None:
    """Keeps the answer for a day, in the transaction of its effect."""
    _older(than=now - RETENTION).run(connection)
    kept = {"owner": request.owner, "key": request.key, "request": request.request, "body": body.decode(), "at": now}
    _KEEP.run(connection, kept)


_KEEP = Statement(insert(Answer))


@prepared
def _answer(*, owner: str, key: str) -> Executable:
    return select(Answer.request, Answer.body).where(Answer.owner == owner, Answer.key == key)


@prepared
def _older(*, than: int) -> Executable:
    return delete(Answer).where(Answer.at < than)
