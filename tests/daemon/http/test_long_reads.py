"""Requests that read many stored bytes hold few threads: others always find one."""

import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import SETTINGS, Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.store import long_reads
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.store.ingest.trailing_hash import TrailingHash
from opstore_daemon.store.validity.searches import Searches
from tests.support.fake_daemon import sample_of_bytes
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.raw_http import Raw, head
from tests.support.servers import ADMIN_TOKEN, TIMEOUT
from tests.support.waiting import wait_for

DATA = random_bytes(3_000_000)
INTACT = f"{routes.BLOBS}?sample={sample_of_bytes(DATA)}&intact=1"
MANY = SETTINGS["threads"] + 4
LONG = long_reads.LONG
PLACES = long_reads.RUNNING + long_reads.WAITING


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Return an event: while it is cleared, each read of stored bytes is long, and waits for it."""
    opened = threading.Event()
    opened.set()
    read, digest = BlobReader.read_piece, TrailingHash.digest

    def read_later(reader: BlobReader) -> bytes:
        assert opened.wait(TIMEOUT)
        return read(reader)

    def digest_later(hashed: TrailingHash) -> Digest:
        assert opened.wait(TIMEOUT)
        return digest(hashed)

    monkeypatch.setattr(BlobReader, "read_piece", read_later)
    monkeypatch.setattr(TrailingHash, "digest", digest_later)
    monkeypatch.setattr(TrailingHash, "lag", property(lambda _: 0 if opened.is_set() else LONG + 1))
    monkeypatch.setattr(long_reads, "LONG", len(DATA) - 1)
    yield opened
    opened.set()


class Flood:
    """Many requests at once, each on a connection of its own."""

    def __init__(self, server: OpStoreServer, port: int, requests: Sequence[bytes]) -> None:
        self._reads = server.store.reads
        self._stack = ExitStack()
        self.connections = [self._stack.enter_context(Raw(port)) for _ in requests]
        for connection, request in zip(self.connections, requests, strict=True):
            connection.send(request.replace(b"PORT", str(port).encode()))

    def refused(self) -> list[Raw]:
        return [each for each in self.connections if _begins(each).startswith(b"HTTP/1.1 503 ")]

    def assert_few_are_served(self, http: Http) -> list[Raw]:
        """Wait until those without a place are refused; check that others are served. Return those with a place."""
        wait_for(lambda: len(self.refused()) == len(self.connections) - PLACES, "the refusals")
        refused = self.refused()
        for each in refused:
            answer = each.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert b'"TooManyReads"' in answer.body
        for path in (routes.OPS, routes.UPLOADS, routes.HEALTH):
            assert http.get(path).status_code == 200
        assert http.register("other", learning="yes")["created"]
        assert (self._reads.running, self._reads.waiting) == (long_reads.RUNNING, long_reads.WAITING)
        return [each for each in self.connections if each not in refused]

    def assert_places_are_free(self) -> None:
        wait_for(lambda: (self._reads.running, self._reads.waiting) == (0, 0), "the end of the reads")

    def close(self) -> None:
        self._stack.close()


def _begins(connection: Raw) -> bytes:
    if not select.select([connection.socket], [], [], 0)[0]:
        return b""
    return connection.socket.recv(20, socket.MSG_PEEK)


def test_all_places_together_leave_threads_for_other_requests() -> None:
    assert Searches().total + long_reads.places().total <= SETTINGS["threads"] - 3


def test_verifications_of_known_blobs_keep_nobody_waiting(
    server: OpStoreServer, http: Http, listener: Listener, gate: threading.Event
) -> None:
    http.push("up", DATA)
    gate.clear()
    flood = Flood(server, listener.port, [head("GET", INTACT, host="127.0.0.1:PORT")] * MANY)
    served = flood.assert_few_are_served(http)
    gate.set()
    for each in served:
        received = b""
        while not received.endswith(b"0\r\n\r\n"):  # the last chunk
            received += each.socket.recv(1 << 16)
        assert digest_of(DATA).encode() in received
    flood.assert_places_are_free()
    flood.close()


def test_few_blobs_need_no_place(server: OpStoreServer, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.store, "reads", None)
    http.push("up", DATA)
    assert [blob["digest"] for blob in http.get(INTACT).json()["blobs"]] == [digest_of(DATA)]


def test_a_verification_ends_with_its_client(
    server: OpStoreServer, http: Http, listener: Listener, gate: threading.Event
) -> None:
    http.push("up", DATA)
    gate.clear()
    flood = Flood(server, listener.port, [head("GET", INTACT, host="127.0.0.1:PORT")] * PLACES)
    wait_for(lambda: server.store.reads.waiting == long_reads.WAITING, "all of them")
    flood.close()
    wait_for(lambda: server.store.reads.waiting == 0, "the end of those that wait")
    gate.set()
    flood.assert_places_are_free()
    assert list(server.store.verify_blobs(sample_of_bytes(DATA), lambda: True)) == [None], "it stops after a piece"


@pytest.mark.local
def test_versions_of_uploads_that_are_not_hashed_yet_keep_nobody_waiting(
    server: OpStoreServer, http: Http, listener: Listener, gate: threading.Event
) -> None:
    made = [http.upload(b"%d" % number) for number in range(MANY)]
    gate.clear()
    flood = Flood(server, listener.port, [push(upload) for upload in made])
    served = flood.assert_few_are_served(http)
    gate.set()
    assert [each.answer().status for each in served] == [201] * PLACES
    flood.assert_places_are_free()
    flood.close()


@pytest.mark.local
def test_requests_that_wait_for_one_upload_keep_nobody_waiting(
    server: OpStoreServer, http: Http, listener: Listener, gate: threading.Event
) -> None:
    upload = http.upload(b"few")
    gate.clear()
    claim = head("GET", routes.path(routes.UPLOAD, upload=upload), host="127.0.0.1:PORT")
    first = Flood(server, listener.port, [push(upload)])
    wait_for(lambda: server.store.reads.running == 1, "the first")
    flood = Flood(server, listener.port, [claim] * MANY)
    wait_for(lambda: len(flood.refused()) == MANY - PLACES + 1, "the refusals")
    assert http.get(routes.OPS).status_code == 200
    gate.set()
    assert first.connections[0].answer().status == 201
    flood.assert_places_are_free()
    for each in (first, flood):
        each.close()


def push(upload: str) -> bytes:
    """Return the request that makes a version of the upload."""
    body = b'{"upload": "%s"}' % upload.encode()
    lines = (f"Content-Type: {routes.JSON}", f"Content-Length: {len(body)}")
    return head("POST", routes.path(routes.VERSIONS, op="pca"), *lines, host="127.0.0.1:PORT") + body


# --- the client ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_client_sends_bytes_that_the_daemon_has_no_place_to_verify(
    server: OpStoreServer, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_reads, "LONG", 0)
    monkeypatch.setattr(server.store.reads, "_most_running", 0)
    monkeypatch.setattr(server.store.reads, "_most_waiting", 0)
    monkeypatch.setattr(errors.TooManyReads, "retry_after", 0)  # the client would wait as long
    with OpStoreClient(http.url, token=ADMIN_TOKEN) as client:
        client.push("pca", DATA)
        assert client.push("lda", DATA).created
