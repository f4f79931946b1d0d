"""How many unfinished uploads and idempotency keys a token may have, and how those that expired are removed."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import IdempotentResult
from opstore_daemon.metadata.tables import Upload as UploadRow
from opstore_daemon.protocol import errors
from opstore_daemon.store import idempotency, quota
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.ingest import expiry, uploads
from opstore_daemon.store.quota import Quota
from tests.daemon.http.test_upload_lifetime import Clock
from tests.support.places import Place

FEW = 5
NOTHING: Any = object()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpStoreServer]:
    """A server that allows few rows, and counts them whenever it matters."""
    monkeypatch.setattr(uploads, "MAX_UPLOADS", FEW)
    monkeypatch.setattr(idempotency, "MAX_RESULTS", FEW)
    monkeypatch.setattr(quota, "RECOUNT", 0.0)
    with closing(place.open(clock=clock)) as made:
        yield made


def rows(server: OpStoreServer, table: type[UploadRow | IdempotentResult]) -> int:
    with server.db.read() as connection:
        count: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return count


def request(key: str, owner: str = "me") -> IdempotentRequest:
    return IdempotentRequest(owner, key, "content")


def test_a_token_has_a_limited_number_of_unfinished_uploads(server: OpStoreServer) -> None:
    made = [server.store.create_upload("me", None).upload for _ in range(FEW)]
    for _ in range(2):
        with pytest.raises(errors.QuotaExceeded, match=f"^this token has {FEW} unfinished uploads") as raised:
            server.store.create_upload("me", None)
    assert (raised.value.status, raised.value.exit_code) == (429, 10)
    assert rows(server, UploadRow) == FEW
    server.store.create_upload("somebody else", None)
    server.store.discard_upload(made[0], "me")
    server.store.create_upload("me", None)


def test_a_token_has_a_limited_number_of_idempotency_keys(server: OpStoreServer) -> None:
    for number in range(FEW):
        server.store.idempotent(request(f"k{number}")).register_pipeline(f"p{number}", ["a"], [])
    with pytest.raises(errors.QuotaExceeded, match=f"^this token has {FEW} results of requests"):
        server.store.idempotent(request("more")).register_pipeline("more", ["a"], [])
    assert server.store.idempotent(request("k1")).register_pipeline("p1", ["a"], []).name == "p1", "a repetition"
    server.store.register_pipeline("without", ["a"], [])
    server.store.idempotent(request("k0", "somebody else")).register_pipeline("other", ["a"], [])
    assert [each.name for each in server.store.pipelines()] == ["other", *(f"p{n}" for n in range(FEW)), "without"]


def test_what_expired_makes_room(server: OpStoreServer, clock: Clock) -> None:
    for number in range(FEW):
        server.store.idempotent(request(f"k{number}")).create_upload("me", None)
    clock.forward(days=8)
    server.store.idempotent(request("k0", "somebody else")).create_upload("somebody else", None)
    assert (rows(server, UploadRow), rows(server, IdempotentResult)) == (1, 1)
    server.store.idempotent(request("k0")).create_upload("me", None)


def test_one_request_removes_a_limited_number_of_what_expired(
    server: OpStoreServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(FEW):
        server.store.idempotent(request(f"k{number}")).create_upload("me", None)
    clock.forward(days=8)
    monkeypatch.setattr(expiry, "EXPIRED_AT_ONCE", 2)
    monkeypatch.setattr(idempotency, "DELETED_AT_ONCE", 2)
    left = []
    for number in range(3):
        server.store.idempotent(request(f"l{number}")).create_upload("me", None)
        left.append((rows(server, UploadRow) - number - 1, rows(server, IdempotentResult) - number - 1))
    assert left == [(3, 3), (1, 1), (0, 0)]


def test_a_refused_request_removes_what_expired_too(
    server: OpStoreServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in ("a", "b"):
        for number in range(FEW):
            server.store.idempotent(request(f"k{number}", owner)).register_pipeline(f"p{owner}{number}", ["a"], [])
    clock.forward(days=2)
    monkeypatch.setattr(idempotency, "DELETED_AT_ONCE", 2)
    refused = 0
    while refused < 2 * FEW:
        try:
            server.store.idempotent(request("new", "b")).register_pipeline("new", ["a"], [])
            break
        except errors.QuotaExceeded:
            refused += 1
    assert 0 < refused < FEW


def test_rows_are_counted_once_in_a_while(server: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([0, 1000, 2000, 2500, 2499])
    counted: list[str] = []

    def count(_connection: Connection, owner: str) -> int:
        counted.append(owner)
        return next(counts)

    limited = Quota(2500, "rows", "wait", count)
    for _ in range(2500):
        limited.take(NOTHING, "me")
    assert counted == ["me"] * 3
    monkeypatch.setattr(quota, "RECOUNT", 3600.0)
    for _ in range(100):
        with pytest.raises(errors.QuotaExceeded):
            limited.take(NOTHING, "me")
    assert counted == ["me"] * 4
    monkeypatch.setattr(quota, "RECOUNT", 0.0)
    limited.take(NOTHING, "me")
