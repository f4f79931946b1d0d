"""A store whose bytes are in an object store: neither the server's loop nor other requests wait for it."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.channel import QUIET_SECONDS, STALLED_SECONDS, Channel
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata.base import BaseDatabase
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers.file_draft import FileDraft
from tests.daemon.http.test_other_servers import Serving, werkzeug_server, wsgiref_server
from tests.daemon.http.test_small_pushes import form
from tests.daemon.http.test_uploads import begin
from tests.support.clock import Clock
from tests.support.daemons import daemons
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.raw_http import Raw, ask, head
from tests.support.servers import ADMIN_TOKEN
from tests.support.shared_saver import PART, SharedStore
from tests.support.waiting import wait_for

MIB = 1 << 20
MEMORY = 4 * PART  # of two uploads
BODY = random_bytes(6 * PART + 99)


class Daemons:
    """Two daemons that listen, and what a test looks at."""

    def __init__(self, servers: list[OpStoreServer], listeners: list[Listener], clock: Clock) -> None:
        self.servers, self.listeners, self.clock = servers, listeners, clock
        self.ports = [listener.port for listener in listeners]

    def create(self, size: int | None = len(BODY)) -> str:
        """Return a new upload."""
        return self.servers[0].store.create_upload(owner(self.servers[0]), size).upload

    def offset(self, upload: str, at: int = 0) -> int:
        """Return the offset of an upload, which claims it."""
        return self.servers[at].store.uploads.claim(upload, owner(self.servers[at])).offset

    def receiving(self) -> list[str]:
        """Return the uploads that a request appends to."""
        return receiving(self.servers)

    def after(self, seconds: float, at: int = 0) -> None:
        """Let seconds pass, a second at a time, each noticed by the loop."""
        listener = self.listeners[at]
        for _ in range(int(seconds)):
            self.clock.now += 1
            listener._waitress.wake()
            wait_for(lambda: listener._waitress._checked_at >= self.clock.now, "a turn of the loop")


def owner(server: OpStoreServer) -> str:
    """Return the owner of the token of the tests."""
    return next(iter(server.guards._owners))


@pytest.fixture
def shared() -> SharedStore:
    return SharedStore(MEMORY)


@pytest.fixture
def both(tmp_path: Path, shared: SharedStore) -> Iterator[Daemons]:
    clock = Clock()
    with daemons(tmp_path, shared) as servers, ExitStack() as held:
        listeners = [held.enter_context(Listener(server, clock=clock)) for server in servers]
        held.callback(shared.gate.set)
        yield Daemons(servers, listeners, clock)
        shared.gate.set()
        wait_for(lambda: shared.memory == 0, "the release of all memory")
        wait_for(lambda: not receiving(servers), "the release of all writers")


def receiving(servers: list[OpStoreServer]) -> list[str]:
    """Return the uploads that a request appends to."""
    return [upload for server in servers for upload in server.store.uploads.opened.receiving()]


def send(connection: Raw, data: bytes) -> threading.Thread:
    """Send the data in a thread: the server may not read it yet."""

    def work() -> None:
        with suppress(OSError):  # one of the two has closed the connection
            connection.send(data)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def is_alive(port: int) -> bool:
    """Return whether the daemon answers others meanwhile."""
    return ask(port, "GET", routes.HEALTH).status == 200


def has_memory(shared: SharedStore, uploads: int) -> bool:
    """Return whether so many uploads have memory."""
    return shared.memory == uploads * 2 * PART


def held_back(daemons: Daemons, upload: str) -> None:
    """Wait until the daemon reads no more of the body, because the store takes no parts."""
    wait_for(lambda: any(each.is_waiting for each in daemons.listeners[0]._channels()), "the full buffer")
    assert upload in daemons.receiving()


def push(both: Daemons, upload: str, data: bytes = BODY, at: int = 0) -> None:
    """Make the version over HTTP, and compare its bytes."""
    with Http(both.listeners[at].url) as http:
        request = {"upload": upload, "checksum": checksum_of(new_sum(data)), "size": len(data)}
        response = http.post("/v1/ops/up/versions", request)
        assert (response.status_code, response.json()["digest"]) == (201, digest_of(data)), response.text
        assert http.pull("up").content == data


def stored_blob(both: Daemons, data: bytes, op: str = "blob") -> None:
    """Make a version of the op."""
    with Http(both.listeners[0].url) as http:
        http.push(op, data, size=len(data))


def pull(connection: Raw, op: str = "blob", *lines: str) -> None:
    """Request the bytes of an op."""
    path = f"/v1/ops/{op}/versions/latest/bytes"
    connection.send(head("GET", path, *lines, host=connection.host))


# --- the usual way ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_request_may_go_to_another_daemon(both: Daemons, shared: SharedStore) -> None:
    upload = both.create()
    for number, start in enumerate(range(0, len(BODY), PART)):
        with Http(both.listeners[number % 2].url) as http:
            piece = BODY[start : start + PART]
            response = http.append(upload, piece, start)
            assert (response.status_code, response.json()["offset"]) == (200, start + len(piece))
    push(both, upload, at=1)
    assert shared.stored == len(BODY)
    assert shared.peak <= 2 * PART + MIB


def test_the_loop_uses_neither_the_database_nor_the_store(
    both: Daemons, shared: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def note(*_: object) -> None:
        used.append(threading.current_thread().name)

    def noted(really: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            note()
            return really(*args, **options)

        return call

    shared.before = note
    for name in ("read", "write", "read_between_writes"):
        monkeypatch.setattr(BaseDatabase, name, noted(getattr(BaseDatabase, name)))
    upload = both.create()
    unknown = "0" * 32
    with Http(both.listeners[1].url) as http:
        assert http.append(upload, BODY[:PART], 0).status_code == 200
        assert http.append(upload, b"x", 5).status_code == 409
        assert http.append(unknown, b"x", 0).status_code == 404
    with Raw(both.ports[0]) as lost:
        begin(lost, upload, PART, 100)
        lost.send(BODY[PART : PART + 50])
        wait_for(lambda: upload in both.receiving())
    wait_for(lambda: not both.receiving())
    assert both.offset(upload) >= PART
    stored_blob(both, BODY)
    used.clear()
    with Http(both.listeners[0].url) as http:
        assert http.pull("blob").content == BODY
    assert used
    assert "opstore-listener" not in used


def test_a_chunked_body_and_a_request_behind_it(both: Daemons) -> None:
    upload = both.create(None)
    with Raw(both.ports[1]) as raw:
        begin(raw, upload, 0, None)
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7 : 3 * PART]))
        behind = f"GET /v1/uploads/{upload} HTTP/1.1\r\nHost: {raw.host}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
        sender = send(raw, chunks + b"0\r\n\r\n" + behind.encode())
        assert raw.answer().body == raw.answer().body
        sender.join()
    assert both.offset(upload) == 3 * PART


def test_only_threads_for_the_storage_wait_for_it(both: Daemons, shared: SharedStore) -> None:
    used: dict[str, str] = {}
    shared.before = lambda kind: used.update({kind: threading.current_thread().name})
    stored_blob(both, BODY)
    with Http(both.listeners[0].url) as http:
        assert http.post("/v1/ops/small/versions", files=form(b"small")).status_code == 201
        for path in ("/v1/ops/blob/versions/latest/bytes", "/v1/fsck?data=1"):
            assert http.get(path).status_code == 200
        assert http.post(routes.GARBAGE, {}).status_code == 200
    assert {"take", "tail", "seal", "publish", "put", "get"} <= set(used)
    assert [kind for kind, name in used.items() if not name.startswith("opstore-storage-")] == ["part"]


# --- slow, and blocked ------------------------------------------------------------------------------------------------


def test_others_are_served_while_an_upload_is_being_opened(both: Daemons, shared: SharedStore) -> None:
    upload = both.create(100)
    with Raw(both.ports[1]) as raw, shared.closed():
        begin(raw, upload, 0, 100)
        raw.send(BODY[:100])
        wait_for(lambda: any(each.is_waiting for each in both.listeners[1]._channels()), "the opening")
        assert is_alive(both.ports[1])
        shared.gate.set()
        assert raw.answer().status == 200
    assert both.offset(upload) == 100


def test_a_body_is_received_only_as_fast_as_it_is_stored(both: Daemons, shared: SharedStore) -> None:
    upload = both.create()
    with Raw(both.ports[0]) as raw:
        begin(raw, upload, 0, len(BODY))
        wait_for(lambda: upload in both.receiving())
        with shared.closed():
            sender = send(raw, BODY)
            held_back(both, upload)
            assert is_alive(both.ports[0])
            assert shared.peak <= 2 * PART
        assert raw.answer().status == 200
        sender.join()
    push(both, upload)


def test_a_response_waits_for_its_bytes_and_others_do_not(both: Daemons, shared: SharedStore) -> None:
    upload = both.create(1000)
    with Raw(both.ports[0]) as raw:
        begin(raw, upload, 0, 1000)
        wait_for(lambda: upload in both.receiving())
        with shared.closed():
            raw.send(BODY[:1000])
            wait_for(lambda: upload not in both.receiving(), "the end of the body")
            raw.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
            raw.socket.settimeout(30)
            assert all(is_alive(both.ports[0]) for _ in range(20)), "the threads of requests are free"
        assert raw.answer().status == 200


@pytest.mark.slow
def test_many_uploads_share_little_memory(both: Daemons, shared: SharedStore) -> None:
    """Two at a time have memory; the others wait in their connections, and nobody waits for ever."""
    size, count = 3 * PART, 12
    uploads = [both.create(size) for _ in range(count)]
    with ExitStack() as held:
        raws = [held.enter_context(Raw(both.ports[number % 2])) for number in range(count)]
        for raw, upload in zip(raws, uploads, strict=True):
            begin(raw, upload, 0, size)
            send(raw, BODY[:size])
        assert [raw.answer().status for raw in raws] == [200] * count
    assert shared.peak <= MEMORY
    assert [both.offset(upload) for upload in uploads] == [size] * count


@pytest.mark.slow
def test_the_memory_of_a_client_that_stalls_is_freed_for_others(both: Daemons, shared: SharedStore) -> None:
    uploads = [both.create(PART) for _ in range(3)]
    with ExitStack() as held:
        raws = [held.enter_context(Raw(both.ports[0])) for _ in uploads]
        for number, (raw, upload) in enumerate(zip(raws, uploads, strict=True)):
            begin(raw, upload, 0, PART)
            if number < 2:
                raw.send(b"x" * 10)
                wait_for(partial(has_memory, shared, number + 1), "the memory of the upload")
        sender = send(raws[2], BODY[:PART])
        wait_for(lambda: any(each.is_waiting for each in both.listeners[0]._channels()), "the third upload")
        both.after(STALLED_SECONDS + 2)
        assert raws[2].answer().status == 200
        sender.join()
        assert raws[0].is_closed()
        assert raws[1].is_closed()
    assert [both.offset(upload) for upload in uploads] == [10, 10, PART], "what the stalled clients sent is stored"


def test_clients_that_send_slowly_lend_their_memory_to_others(both: Daemons, shared: SharedStore) -> None:
    """A client that sends a byte now and then never stalls, and would hold its memory for ever."""
    uploads = [both.create(PART) for _ in range(4)]
    with ExitStack() as held:
        raws = [held.enter_context(Raw(both.ports[0])) for _ in uploads]
        for number, (raw, upload) in enumerate(zip(raws, uploads, strict=True)):
            begin(raw, upload, 0, PART)
            if number < 2:
                raw.send(BODY[:10])
                wait_for(partial(has_memory, shared, number + 1), "the memory of the upload")
        senders = [send(raw, BODY[:PART]) for raw in raws[2:]]
        wait_for(lambda: any(each.lacks_memory for each in both.listeners[0]._channels()), "the third upload")
        both.after(QUIET_SECONDS + 2)
        assert [raw.answer().status for raw in raws[2:]] == [200, 200]
        senders += [send(raw, BODY[10:PART]) for raw in raws[:2]]
        assert [raw.answer().status for raw in raws[:2]] == [200, 200]
        for sender in senders:
            sender.join()
    assert [both.offset(upload) for upload in uploads] == [PART] * 4
    assert shared.stored == 4 * PART


@pytest.mark.slow
def test_a_client_that_stalls_while_it_waits_for_memory_is_closed(both: Daemons, shared: SharedStore) -> None:
    upload = both.create()
    assert shared.take(MEMORY)
    try:
        with Raw(both.ports[0]) as raw:
            begin(raw, upload, 0, len(BODY))
            wait_for(lambda: any(each.lacks_memory for each in both.listeners[0]._channels()), "the wait for memory")
            both.after(STALLED_SECONDS + 2)
            assert raw.is_closed()
    finally:
        shared.give_back(MEMORY)


@pytest.mark.slow
def test_a_slow_object_store_is_no_stalled_client(both: Daemons, shared: SharedStore) -> None:
    upload = both.create()
    with Raw(both.ports[0]) as raw:
        begin(raw, upload, 0, len(BODY))
        wait_for(lambda: upload in both.receiving())
        with shared.closed():
            sender = send(raw, BODY)
            held_back(both, upload)
            both.after(2 * STALLED_SECONDS)
        assert raw.answer().status == 200
        sender.join()


# --- pulls ------------------------------------------------------------------------------------------------------------


def test_others_are_served_while_many_pulls_and_pushes_wait_for_the_store(both: Daemons, shared: SharedStore) -> None:
    """More than there are threads, of each kind."""
    stored_blob(both, BODY)
    with ExitStack() as held:
        raws = [held.enter_context(Raw(both.ports[0])) for _ in range(40)]
        with shared.closed():
            for number, raw in enumerate(raws):
                if number % 2:
                    pull(raw, "blob", f"Range: bytes={number}-")
                else:
                    form = f"Content-Type: {routes.JSON}", "Content-Length: 2"
                    raw.send(head("POST", routes.UPLOADS, *form, host=raw.host) + b"{}")
            wait_for(lambda: both.listeners[0]._waitress.storage.are_wanted(), "a request that waits for a thread")
            for _ in range(20):
                assert ask(both.ports[0], "GET", "/v1/ops/blob/versions").status == 200
        for number, raw in enumerate(raws):
            answer = raw.answer()
            assert answer.status == (206 if number % 2 else 201)
            assert not number % 2 or answer.body == BODY[number:]


@pytest.mark.slow
def test_others_are_served_while_a_pull_waits_for_its_next_bytes(both: Daemons, shared: SharedStore) -> None:
    stored_blob(both, BODY)
    with Raw(both.ports[0]) as raw:
        reads = 0

        def hold(kind: str) -> None:
            nonlocal reads
            reads += kind == "get"
            if reads == 3:
                shared.gate.clear()

        shared.before = hold
        pull(raw)
        wait_for(lambda: any(each._is_fetching for each in both.listeners[0]._channels()), "the wait for bytes")
        assert is_alive(both.ports[0])
        both.after(2 * STALLED_SECONDS)
        shared.gate.set()
        assert raw.answer().body == BODY, "the client did not stall"
    wait_for(lambda: shared.readers == 0, "the end of all readers")


def test_the_loop_rests_while_a_pull_waits(both: Daemons, shared: SharedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_blob(both, BODY)
    writes = 0

    def count(channel: Channel) -> None:
        nonlocal writes
        writes += 1
        really(channel)

    really = Channel.handle_write
    monkeypatch.setattr(Channel, "handle_write", count)
    with Raw(both.ports[0]) as raw:
        with shared.closed():
            pull(raw, "blob", "Range: bytes=0-")
            wait_for(lambda: any(each._is_fetching for each in both.listeners[0]._channels()), "the wait for bytes")
            before = writes
            both.after(3)
            assert writes - before <= 1
        assert raw.answer().body == BODY


def test_a_client_that_goes_while_its_pull_waits_leaves_nothing_behind(both: Daemons, shared: SharedStore) -> None:
    stored_blob(both, BODY)
    with Raw(both.ports[0]) as raw, shared.closed():
        pull(raw, "blob", "Range: bytes=0-")
        wait_for(lambda: any(each._is_fetching for each in both.listeners[0]._channels()), "the wait for bytes")
        raw.close()
        # Its first thread may not have left the request yet: a client that has gone is noticed afterwards.
        while both.listeners[0]._channels():
            both.after(1)
        assert shared.readers == 1, "a thread reads from it"
    wait_for(lambda: shared.readers == 0, "the end of all readers")


def test_a_store_that_fails_in_the_middle_of_a_pull_ends_it_early(both: Daemons, shared: SharedStore) -> None:
    stored_blob(both, BODY)
    left = 3

    def fails(kind: str) -> Exception | None:
        nonlocal left
        left -= kind == "get"
        return errors.StorageFailed(reason="SlowDown") if left < 0 else None

    shared.fails = fails
    with Raw(both.ports[0]) as raw:
        pull(raw)
        answer = raw.answer()
        assert (answer.status, answer.cut) == (200, True)
    wait_for(lambda: shared.readers == 0, "the end of all readers")
    assert is_alive(both.ports[0])


# --- clients that go, and stores that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", few(1, ["opening", "receiving", "waiting for the store", "storing"]))
def test_a_client_that_goes_leaves_nothing_behind(both: Daemons, shared: SharedStore, state: str) -> None:
    upload = both.create()
    with Raw(both.ports[0]) as raw:
        if state == "opening":
            shared.gate.clear()
            both.servers[0].store.uploads.opened.close()
        begin(raw, upload, 0, 1000 if state == "storing" else len(BODY))
        if state != "opening":
            wait_for(lambda: upload in both.receiving())
        if state == "receiving":
            raw.send(BODY[:1000])
            wait_for(lambda: shared.memory > 0)
        elif state == "waiting for the store":
            shared.gate.clear()
            sender = send(raw, BODY)
            held_back(both, upload)
            # A reset: nothing else reaches a server behind bytes that it does not read.
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.socket.shutdown(socket.SHUT_RDWR)
            sender.join()  # which still sends
        elif state == "storing":
            shared.gate.clear()
            raw.send(BODY[:1000])
            wait_for(lambda: upload not in both.receiving(), "the end of the body")
        else:
            wait_for(lambda: any(each.is_waiting for each in both.listeners[0]._channels()))
    if state in ("opening", "waiting for the store"):
        both.after(1)
        assert both.listeners[0]._channels() == [], "although the loop does not read from it"
    shared.gate.set()
    wait_for(lambda: both.listeners[0]._channels() == [] and not both.receiving() and shared.memory == 0)
    stored = both.offset(upload, at=1)
    assert stored in {"opening": (0,), "receiving": (1000,), "storing": (1000,)}.get(state, range(PART, len(BODY)))
    with Http(both.listeners[1].url) as http:
        assert http.append(upload, BODY[stored:], stored).status_code == 200
    push(both, upload)
    assert shared.stored == len(BODY)


@pytest.mark.parametrize("kind", ["part", "tail"])
def test_a_store_that_fails_is_an_error_of_ours(both: Daemons, shared: SharedStore, kind: str) -> None:
    upload = both.create()
    shared.fails = lambda each: errors.StorageFailed(reason="SlowDown") if each == kind else None
    size = len(BODY) if kind == "part" else 1000
    with Raw(both.ports[0]) as raw:
        begin(raw, upload, 0, size)
        sender = send(raw, BODY[:size])
        answer = raw.answer()
        assert (answer.status, b"SlowDown" in answer.body) == (503, True)
        raw.close()
        sender.join()
    shared.fails = lambda _: None
    assert both.offset(upload) == 0
    with Http(both.listeners[0].url) as http:
        assert http.append(upload, BODY, 0).status_code == 200
    push(both, upload)


def test_a_full_object_store_ends_the_upload_before_its_response(both: Daemons, shared: SharedStore) -> None:
    upload = both.create()
    shared.fails = lambda each: errors.StorageFull(reason="QuotaExceeded") if each == "tail" else None
    with Http(both.listeners[0].url) as http:
        assert http.append(upload, b"x", 0).status_code == 507
        assert http.get(f"/v1/uploads/{upload}").status_code == 404


def test_the_body_is_asked_for_once_the_upload_is_open(both: Daemons, shared: SharedStore) -> None:
    upload = both.create(10)
    lines = (f"Content-Type: {routes.APPEND_TYPE}", "Content-Length: 10", "Expect: 100-continue")
    for offset, at, statuses in ((3, 0, [409]), (3, 1, [409]), (0, 1, [100, 200])):
        with Raw(both.ports[at]) as raw:
            offset_line = f"Upload-Offset: {offset}"
            raw.send(head("PATCH", f"/v1/uploads/{upload}", *lines, offset_line, host=raw.host))
            answers = [raw.answer().status]
            if answers == [100]:
                raw.send(BODY[:10])
                answers.append(raw.answer().status)
            assert answers == statuses
    assert both.offset(upload) == 10


def test_a_daemon_that_stops_while_the_store_is_blocked_wakes_nobody_afterwards(
    tmp_path: Path, shared: SharedStore
) -> None:
    with daemons(tmp_path, shared, 1) as (server,):
        listener = Listener(server)
        thread = threading.Thread(target=listener.run)
        thread.start()
        upload = server.store.create_upload(owner(server), len(BODY)).upload
        with Raw(listener.port) as raw:
            begin(raw, upload, 0, len(BODY))
            wait_for(lambda: server.store.uploads.opened.receiving() == [upload])
            shared.gate.clear()
            send(raw, BODY)
            wait_for(lambda: any(each.is_waiting for each in listener._channels()))
            raw.socket.shutdown(socket.SHUT_RDWR)
        listener.stop()
        listener._deadline = 0
        thread.join()
        pulled: list[object] = []
        listener._waitress.pull_trigger = lambda *_: pulled.append(1)
        shared.gate.set()
        wait_for(lambda: shared.requests["part"] > 0)
        server.store.uploads.close()
        assert pulled == []
        assert shared.memory == 0


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.local
def test_bytes_of_a_folder_are_received_by_the_loop_without_copying(
    server: OpStoreServer, listener: Listener, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []

    def count(name: str) -> None:
        really = getattr(FileDraft, name)

        def call(*arguments: Any) -> Any:
            calls.append((name, threading.current_thread().name))
            return really(*arguments)

        monkeypatch.setattr(FileDraft, name, call)

    for name in ("receive", "append", "flush", "is_ready", "when_ready"):
        if name in vars(FileDraft):
            count(name)
    spliced: list[int] = []
    if hasattr(os, "splice"):
        really = os.splice

        def splice(*arguments: Any, **options: Any) -> int:
            spliced.append(1)
            return really(*arguments, **options)

        monkeypatch.setattr(os, "splice", splice)
    ran: list[Callable[[], None]] = []
    monkeypatch.setattr(listener._waitress.storage, "run", ran.append)
    upload = http.post(routes.UPLOADS, {"size": len(BODY)}).json()["upload"]
    with Raw(listener.port) as raw:
        begin(raw, upload, 0, len(BODY))
        raw.send(BODY)
        assert raw.answer().status == 200
    assert ran == [], "no thread has to open or store anything"
    assert {thread for name, thread in calls if name == "receive"} == {"opstore-listener"}
    copied = [name for name, _ in calls if name == "append"]
    if spliced:
        assert len(copied) <= 1, "only what arrived with the head"
        assert len(spliced) >= len(BODY) // MIB


# --- behind other servers ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("serving", [wsgiref_server, werkzeug_server])
def test_the_same_rules_hold_behind_other_servers(tmp_path: Path, shared: SharedStore, serving: Serving) -> None:
    """There a thread for each connection waits, and others are served."""
    with daemons(tmp_path, shared) as servers, serving(servers[0]) as one, serving(servers[1]) as two:
        upload = servers[0].store.create_upload(owner(servers[0]), len(BODY)).upload
        with Http(f"http://127.0.0.1:{one}") as http, Http(f"http://127.0.0.1:{two}") as other:
            assert http.append(upload, BODY[:PART], 0).json()["offset"] == PART
            assert other.append(upload, BODY[PART : 3 * PART], PART).json()["offset"] == 3 * PART
            assert http.append(upload, b"x", PART).status_code == 409
            shared.fails = lambda _: errors.StorageFailed(reason="SlowDown")
            assert http.append(upload, BODY[3 * PART : 3 * PART + 9], 3 * PART).status_code == 503
            shared.fails = lambda _: None
            with Raw(one) as raw:
                begin(raw, upload, 3 * PART, len(BODY) - 3 * PART)
                wait_for(lambda: receiving(servers))
                with shared.closed():
                    sender = send(raw, BODY[3 * PART :])
                    assert is_alive(one)
            wait_for(lambda: shared.memory == 0 and not receiving(servers), "the end of the client that has gone")
            offset = other.get(f"/v1/uploads/{upload}").json()["offset"]
            assert other.append(upload, BODY[offset:], offset).json()["offset"] == len(BODY)
            sender.join()
            request = {"upload": upload, "checksum": checksum_of(new_sum(BODY)), "size": len(BODY)}
            assert http.post("/v1/ops/up/versions", request).json()["digest"] == digest_of(BODY)
            assert other.pull("up").content == BODY
    assert shared.stored == len(BODY)
    assert shared.peak <= 2 * PART + MIB
