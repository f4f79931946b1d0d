"""Many connections keep nobody out: neither those without a token, nor those whose clients read or send nothing."""

import errno
import os
import resource
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server import acceptor, channel
from opstore_daemon.http_server.acceptor import LOG_INTERVAL, PAUSE
from opstore_daemon.http_server.listener import SETTINGS, Listener
from opstore_daemon.http_server.shares import (
    ACCEPTS,
    FILES,
    FILES_OF_DAEMON,
    GRACE,
    MAX_CONNECTIONS,
    MIN_CONNECTIONS,
    Shares,
    connections_for,
    least_wanted,
    unread,
    uploads_for,
)
from opstore_daemon.protocol import routes
from opstore_daemon.system import descriptors
from tests.daemon.http.test_bytes import BYTES
from tests.daemon.http.test_uploads import begin
from tests.support.clock import Clock
from tests.support.http_client import Http
from tests.support.raw_http import Raw, ask, head
from tests.support.waiting import wait_for

MIB = 1 << 20


@dataclass
class Fake:
    """A connection as shares.py sees it."""

    authenticated: bool = False
    opened_at: float = 0
    active_at: float = 0
    buffered: int = 0
    idle: bool = False
    requests: Sequence[object] = ()


def test_connections_without_a_token_have_a_quarter_and_the_oldest_make_room() -> None:
    connections = [Fake(opened_at=number) for number in (3, 1, 4, 2, 5)]
    connections[1].requests = ["running"]
    assert Shares(16).excess(connections, 9) == [connections[3]]
    assert Shares(16).excess([*connections, *(Fake(authenticated=True) for _ in range(12))], 9) == [connections[3]]
    assert Shares(16).excess(connections[:4], 9) == []


def test_a_new_connection_has_a_moment_to_send_its_head_and_meanwhile_others_wait() -> None:
    connections = [Fake(opened_at=1) for _ in range(4)]
    assert Shares(16).room(connections) == 1
    connections.append(Fake(opened_at=1))
    assert Shares(16).room(connections) == 0
    assert Shares(16).excess(connections, 1 + GRACE / 2) == []
    assert Shares(16).excess(connections, 1 + GRACE) == [connections[0]]
    connections[0].authenticated = True
    assert Shares(16).room(connections) == 1
    assert Shares(MAX_CONNECTIONS).room([]) == ACCEPTS


def test_connections_with_a_token_make_room_for_such_only() -> None:
    idle = [Fake(authenticated=True, idle=True, active_at=9 - number) for number in range(3)]
    stalled = [Fake(authenticated=True, active_at=number) for number in range(3)]
    running = Fake(authenticated=True, requests=["running"], active_at=-1)
    connections = [running, *stalled, *idle]
    assert Shares(10).excess(connections, 9) == [idle[2]]
    assert Shares(7).excess(connections, 9) == [idle[2], idle[1], idle[0]]
    assert Shares(6).excess(connections, 9) == [idle[2], idle[1], idle[0], stalled[0]]
    assert Shares(12).excess([*connections, *(Fake() for _ in range(3))], 9) == []


def test_out_of_open_files_a_connection_that_is_not_needed_is_closed() -> None:
    anonymous = [Fake(opened_at=2), Fake(opened_at=1)]
    idle, busy = Fake(authenticated=True, idle=True), Fake(authenticated=True)
    assert least_wanted([busy, idle, *anonymous]) == [anonymous[1]]
    assert least_wanted([busy, idle]) == [idle]
    assert least_wanted([busy]) == []


def test_responses_that_wait_the_longest_are_dropped_beyond_the_limit() -> None:
    connections = [Fake(buffered=10, active_at=number) for number in (3, 1, 2)]
    connections.append(Fake(buffered=100, requests=["running"]))
    assert unread(connections, 30) == []
    assert unread(connections, 29) == [connections[1]]
    assert unread(connections, 0) == [connections[1], connections[2], connections[0]]


@pytest.mark.parametrize("files", [16, 64, 256, 1024, FILES, 10**6])
def test_connections_leave_files_for_the_rest(files: int) -> None:
    connections, uploads = connections_for(files), uploads_for(files)
    assert MIN_CONNECTIONS <= connections <= MAX_CONNECTIONS
    if files >= 64:
        assert 2 * connections + FILES_OF_DAEMON <= files
        assert 2 * connections + uploads + FILES_OF_DAEMON <= max(files, 64 + uploads)
    assert connections_for(FILES) == MAX_CONNECTIONS


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (64, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, both: limits.update(now=both))
    assert descriptors.raise_open_files(1024) == 1024
    assert limits["now"] == (1024, 4096)
    assert descriptors.raise_open_files(512) == 1024
    assert descriptors.raise_open_files(10_000) == 4096
    limits["now"] = (64, resource.RLIM_INFINITY)
    assert descriptors.raise_open_files(10_000) == 10_000


def test_slow_connections_without_a_token_keep_nobody_out(
    server: OpStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "HEAD_SECONDS", 1e9)  # no deadline ends any of them
    with Listener(server, bounds=Shares(16)) as listener, Http(listener.url) as http, ExitStack() as stack:
        upload = http.upload()
        busy = stack.enter_context(Raw(listener.port))
        begin(busy, upload, 0, 10)
        wait_for(lambda: any(each.authenticated and not each.idle for each in listener._channels()), "the append")
        slow = []
        for _ in range(40):
            slow.append(stack.enter_context(Raw(listener.port)))
            slow[-1].send(b"G")
        assert ask(listener.port, "GET", routes.HEALTH).status == 200
        assert ask(listener.port, "GET", routes.OPS).status == 200
        assert slow[0].is_closed()
        wait_for(lambda: sum(not each.authenticated for each in listener._channels()) <= 4, "the end of the oldest")
        busy.send(bytes(10))
        assert busy.answer().status == 200, "whoever has a token keeps the connection"


def test_a_client_without_a_token_displaces_no_idle_one_with_a_token(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "HEAD_SECONDS", 1e9)
    with Listener(server, bounds=Shares(16)) as listener, ExitStack() as stack:
        idle = []
        for _ in range(12):
            idle.append(stack.enter_context(Raw(listener.port)))
            assert idle[-1].ask("GET", routes.OPS).status == 200
        for _ in range(40):
            stack.enter_context(Raw(listener.port)).send(b"G")
        assert ask(listener.port, "GET", routes.HEALTH).status == 200
        assert [each.ask("GET", routes.OPS).status for each in idle] == [200] * 12


def test_clients_that_read_nothing_hold_no_thread(http: Http, listener: Listener) -> None:
    http.push("up", b"x" * (40 * MIB))  # more than fits into the buffers of the system
    silent_ones = 2 * SETTINGS["threads"]
    with ExitStack() as stack:
        for _ in range(silent_ones):
            silent = stack.enter_context(Raw(listener.port))
            silent.send(3 * head("GET", BYTES, host=silent.host))
        wait_for(
            lambda: sum(bool(each.total_outbufs_len) for each in listener._channels()) == silent_ones, "the responses"
        )
        assert ask(listener.port, "GET", routes.OPS).status == 200
        wait_for(lambda: not any(each.requests for each in listener._channels()), "the end of all work")


@pytest.mark.slow
def test_responses_in_memory_that_nobody_reads_are_dropped(
    http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(_acceptor: acceptor.Acceptor, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

    monkeypatch.setattr(acceptor.Acceptor, "set_socket_options", small)
    for number in range(30):
        http.register(f"op-{number}", a="1")
    size = len(ask(listener.port, "GET", routes.OPS).body)
    with ExitStack() as stack:
        for _ in range(20):
            silent = stack.enter_context(Raw(listener.port))
            silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            silent.send(200 * head("GET", routes.OPS, host=silent.host))
        wait_for(
            lambda: sum(each.buffered > 0 and not each.requests for each in listener._channels()) == 20, "the responses"
        )
        held = sum(each.buffered for each in listener._channels())
        assert 20 * size <= held <= 21 * (size + 1000), "one response for each"
        monkeypatch.setattr(acceptor, "MAX_UNREAD", held // 4)
        listener._waitress.pull_trigger()
        wait_for(lambda: sum(each.buffered > 0 for each in listener._channels()) == 5, "the end of the others")
        assert ask(listener.port, "GET", routes.OPS).status == 200


def test_pipelined_requests_wait_in_turn_with_those_of_others(
    http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[int] = []
    add_task = acceptor.Acceptor.add_task

    def recorded(self: acceptor.Acceptor, task: Any) -> None:
        queued.append(len(task.requests))
        add_task(self, task)

    monkeypatch.setattr(acceptor.Acceptor, "add_task", recorded)
    with Raw(listener.port) as eager:
        eager.send(300 * head("GET", routes.OPS, host=eager.host))
        assert http.get(routes.OPS).status_code == 200
        assert [eager.answer().status for _ in range(300)] == [200] * 300
    assert set(queued) == {1}
    assert len(queued) == 301


class Refusing:
    """A listening socket on which accept(2) fails as long as `error` is set."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening, self.error, self.accepts = listening, 0, 0

    def accept(self) -> Any:
        self.accepts += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self.listening.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listening, name)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_accepting_pauses_and_is_reported_once(
    server: OpStoreServer, caplog: pytest.LogCaptureFixture, error: int
) -> None:
    clock = Clock()
    listener = Listener(server, clock=clock)
    waitress = listener._waitress
    waitress.socket = refusing = Refusing(waitress.socket)
    with listener, ExitStack() as stack:
        held = stack.enter_context(Raw(listener.port))
        assert held.ask("GET", routes.OPS).status == 200
        wait_for(lambda: all(each.idle for each in listener._channels()), "the end of the request")
        refusing.error, refusing.accepts = error, 0
        waiting = stack.enter_context(Raw(listener.port))
        wait_for(lambda: refusing.accepts, "the attempt")
        assert held.is_closed(), "an idle connection makes room"
        wait_for(lambda: refusing.accepts == 2, "the next attempt")
        for _ in range(100):
            waitress.pull_trigger()
        assert refusing.accepts == 2, "no attempt until a file is closed or time has passed"
        for count in range(3, 8):
            clock.now += PAUSE
            waitress.pull_trigger()
            wait_for(lambda count=count: refusing.accepts == count, "an attempt each second")  # type: ignore[misc]
        reports = [record.getMessage() for record in caplog.records if record.name == "opstore.daemon"]
        assert reports == [f"accept: {os.strerror(error)}; 1 connections are open, and others wait"]
        clock.now += LOG_INTERVAL
        waitress.pull_trigger()
        wait_for(lambda: len([r for r in caplog.records if r.name == "opstore.daemon"]) == 2, "the next report")
        refusing.error = 0
        clock.now += PAUSE
        waitress.pull_trigger()
        assert waiting.ask("GET", routes.OPS).status == 200


def test_urgent_data_closes_the_connection(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    with Raw(listener.port) as urgent:
        urgent.socket.send(b"x", socket.MSG_OOB)
        assert urgent.is_closed()
    assert ask(listener.port, "GET", routes.OPS).status == 200
    assert "unhandled" not in caplog.text
