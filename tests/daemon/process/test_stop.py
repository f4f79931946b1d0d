"""The daemon stops after a signal or the idle timeout, and never in the middle of a request."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opstore_daemon.http_server.listener import GRACE
from opstore_daemon.protocol import routes
from tests.daemon.process.conftest import Start
from tests.support.daemon import Daemon, environment
from tests.support.fault_proxy import HttpProxy
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes
from tests.support.waiting import WITHIN, wait_for

pytestmark = pytest.mark.process

# Half a second for running requests, and as much for the object store.
HURRIED = """
import sys
from opstore_daemon import daemon
from opstore_daemon.__main__ import main
from opstore_daemon.http_server import listener

listener.GRACE = daemon.GRACE = daemon.CLOSING = 0.5
main(sys.argv[1:], prog_name="opstore")
"""


def refuses_connections(daemon: Daemon) -> bool:
    """Return whether nothing listens at the URL."""
    try:
        socket.create_connection(daemon.address, timeout=WITHIN).close()
    except ConnectionError:
        return True
    return False


@contextmanager
def connected(daemon: Daemon, head: str) -> Iterator[socket.socket]:
    """Open a connection and send the head of a request."""
    host, port = daemon.address
    with socket.create_connection((host, port), timeout=WITHIN) as connection:
        # A small receive buffer, or the system accepts a large response at once.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        lines = [head, f"Host: {host}:{port}", f"Authorization: Bearer {daemon.token}"]
        connection.sendall("\r\n".join(lines).encode())
        yield connection


@contextmanager
def appending(daemon: Daemon, upload: str, size: int) -> Iterator[socket.socket]:
    """Open a connection and send the head of an append."""
    path = routes.path(routes.UPLOAD, upload=upload)
    with connected(daemon, f"PATCH {path} HTTP/1.1") as connection:
        lines = [
            "",
            f"{routes.UPLOAD_OFFSET}: 0",
            f"Content-Type: {routes.APPEND_TYPE}",
            f"Content-Length: {size}",
            "",
            "",
        ]
        connection.sendall("\r\n".join(lines).encode())
        yield connection


def answer_on(connection: socket.socket) -> bytes:
    """Return everything that is still received."""
    response = b""
    while piece := connection.recv(65536):
        response += piece
    return response


def test_a_running_upload_is_finished_before_the_daemon_stops(start: Start) -> None:
    daemon = start()
    upload, data = daemon.begin_upload(), b"x" * 300_000
    with appending(daemon, upload, len(data)) as connection:
        connection.sendall(data[:100_000])
        wait_for(lambda: staged(daemon, upload) == 100_000)
        daemon.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses_connections(daemon))
        assert daemon.process.poll() is None
        connection.sendall(data[100_000:])
        response = answer_on(connection)
    assert response.startswith(b"HTTP/1.1 200")
    assert b'"offset":300000' in response
    assert daemon.ends() == 0
    assert not daemon.runtime_file.exists()
    again = start()
    path = routes.path(routes.UPLOAD, upload=upload)
    assert again.ask("GET", path)[1]["offset"] == 300_000


def staged(daemon: Daemon, upload: str) -> int:
    """Return how many bytes of the upload are in its file."""
    return (daemon.home / "blobs" / "staging" / upload).stat().st_size


def test_a_running_download_is_finished_before_the_daemon_stops(daemon: Daemon) -> None:
    data = hashlib.sha256(b"seed").digest() * 400_000
    daemon.push("pca", data)
    path = routes.path(routes.BYTES, op="pca", selector="1.0.0")
    with connected(daemon, f"GET {path} HTTP/1.1") as connection:
        connection.sendall(b"\r\n\r\n")
        response = connection.recv(10_000)
        daemon.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses_connections(daemon))
        assert daemon.process.poll() is None
        response += answer_on(connection)
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()
    assert daemon.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_stops_at_once(daemon: Daemon, number: signal.Signals) -> None:
    with connected(daemon, f"GET {routes.HEALTH} HTTP/1.1") as kept:
        kept.sendall(b"\r\n\r\n")
        response = b""
        while not response.endswith(b"ok\n"):
            response += kept.recv(65536)
        asked = time.monotonic()
        daemon.process.send_signal(number)
        assert daemon.ends() == 0
        assert time.monotonic() - asked < GRACE, "it did not wait for a connection on which nothing runs"
        assert kept.recv(1) == b""
    assert not daemon.runtime_file.exists()


def test_an_idle_background_daemon_stops_by_itself(start: Start) -> None:
    daemon = start("--background", OPSTORE_IDLE_TIMEOUT="1s")
    daemon.push("pca", b"bytes")
    assert daemon.ends() == 0
    assert not daemon.runtime_file.exists()
    assert "stopping after 1 s without a request" in (daemon.home / "daemon.log").read_text()


@pytest.mark.slow
def test_a_busy_background_daemon_does_not_stop(start: Start) -> None:
    daemon = start("--background", OPSTORE_IDLE_TIMEOUT="1s")
    upload, size = daemon.begin_upload(), 30
    with appending(daemon, upload, size) as connection:
        # A client so slow that the idle time passes three times meanwhile.
        connection.settimeout(0.1)
        for _ in range(size - 1):
            connection.sendall(b"x")
            with pytest.raises(TimeoutError):
                connection.recv(1)
        connection.settimeout(WITHIN)
        connection.sendall(b"x")
        response = b""
        while not response.endswith(b"}"):
            response += connection.recv(65536)
        assert b'"offset":%d' % size in response
    assert "stopping" not in (daemon.home / "daemon.log").read_text()
    assert daemon.ends() == 0


@pytest.mark.slow
def test_a_daemon_in_the_foreground_ignores_the_idle_timeout(start: Start) -> None:
    daemon = start(OPSTORE_IDLE_TIMEOUT="1s")
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.process.wait(3)
    assert daemon.ask("GET", routes.HEALTH)[0] == 200


def test_a_background_daemon_writes_only_to_its_log(start: Start) -> None:
    daemon = start("--background")
    second = start("--background")
    assert second.ends() == 5
    assert second.ready["error"].startswith(f"{daemon.home} is in use by the daemon at {daemon.url}")
    assert f"in use by the daemon at {daemon.url}" in (daemon.home / "daemon.log").read_text()


@pytest.mark.slow
def test_a_daemon_whose_object_store_hangs_stops_all_the_same(home: Path, bucket: Bucket) -> None:
    with HttpProxy(int(bucket.endpoint.rpartition(":")[2])) as proxy:
        reached = bucket.at(proxy.url)
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", HURRIED, "serve", "--saver", reached.url],
            env=environment(home, OPSTORE_READY_FD=str(writer), **reached.environ),
            pass_fds=[writer],
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        try:
            with open(reader) as pipe:
                daemon = Daemon(home, process, json.loads(pipe.read()))
            upload = daemon.begin_upload(10**9)
            with appending(daemon, upload, 10**9) as connection:
                proxy.hang()
                known = len(proxy.requests)
                connection.sendall(random_bytes(9 * 1024 * 1024))  # more than a part
                wait_for(lambda: len(proxy.requests) > known, "the part on its way")
                assert daemon.stop() == 0
        finally:
            process.kill()
            process.wait(WITHIN)
            proxy.resume()
    assert "stopped without waiting for the object store any longer" in (home / "daemon.log").read_text()
