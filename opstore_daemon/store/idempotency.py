"""Results of requests with an idempotency key, kept for a day so that a repeated request changes nothing."""

from dataclasses import dataclass

from sqlalchemy import Connection, Executable, delete, insert, select

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import IdempotentResult
from opstore_daemon.protocol import errors

RETENTION = 24 * 3600 * 1_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request with an idempotency key: its owner, the key, and the SHA-256 (in hex) of its content."""

    owner: str
    key: str
    request: str


def find(connection: Connection, request: IdempotentRequest) -> bytes | None:
    """Return the result of an earlier request with the key, or None; raise KeyReused if its content was different."""
    row = _result(owner=request.owner, key=request.key).run(connection).one_or_none()
    if row is None:
        return None
    if row.request != request.request:
        raise errors.KeyReused(key=request.key)
    return str(row.body).encode()


def save(connection: Connection, request: IdempotentRequest, body: bytes, now: int) -> None:
    """Save the result of the request, and delete results older than a day; `now` in microseconds since 1970.

    Call it in the transaction that the result describes.
    """
    _delete_older(time=now - RETENTION).run(connection)
    row = {"owner": request.owner, "key": request.key, "request": request.request, "body": body.decode(), "at": now}
    _SAVE.run(connection, row)


_SAVE = Statement(insert(IdempotentResult))


@prepared
def _result(*, owner: str, key: str) -> Executable:
    query = select(IdempotentResult.request, IdempotentResult.body)
    return query.where(IdempotentResult.owner == owner, IdempotentResult.key == key)


@prepared
def _delete_older(*, time: int) -> Executable:
    return delete(IdempotentResult).where(IdempotentResult.at < time)
