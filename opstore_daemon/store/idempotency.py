"""Results of requests with an idempotency key, kept for a day so that a repeated request changes nothing."""

from dataclasses import dataclass

from sqlalchemy import Connection, Executable, delete, insert, select

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Answer
from opstore_daemon.protocol import errors

RETENTION = 24 * 3600 * 1_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that takes effect once: its owner, its key, and the SHA-256 of what it asks for."""

    owner: str
    key: str
    request: str


def find(connection: Connection, request: IdempotentRequest) -> bytes | None:
    """Return the result of an earlier request with the key, or None; raise KeyReused if it asked for something else."""
    row = _answer(owner=request.owner, key=request.key).run(connection).one_or_none()
    if row is None:
        return None
    if row.request != request.request:
        raise errors.KeyReused(key=request.key)
    return str(row.body).encode()


def save(connection: Connection, request: IdempotentRequest, body: bytes, now: int) -> None:
    """Save the result of the request, and delete results older than a day; `now` in microseconds since 1970.

    Call it in the transaction that the result describes.
    """
    _older(than=now - RETENTION).run(connection)
    row = {"owner": request.owner, "key": request.key, "request": request.request, "body": body.decode(), "at": now}
    _SAVE.run(connection, row)


_SAVE = Statement(insert(Answer))


@prepared
def _answer(*, owner: str, key: str) -> Executable:
    return select(Answer.request, Answer.body).where(Answer.owner == owner, Answer.key == key)


@prepared
def _older(*, than: int) -> Executable:
    return delete(Answer).where(Answer.at < than)
