"""Measure what another client notices of clients that send nonsense, send slowly, or read nothing.

Each row starts a daemon of its own, has hostile clients do one thing, and meanwhile asks for the ops, a request a
connection. Prints the slowest answer, what the daemon holds, and how much it logged. `--gate` exits 1 if an answer took
more than so many seconds.
"""

import argparse
import os
import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.daemon import Daemon, large
from benchmarks.measuring import KIB, MIB, show
from opstore_cli import OpStoreClient

PATIENCE = 20.0  # seconds that the other client waits for an answer


class Scene(NamedTuple):
    """A daemon, the port of it, and how much the hostile clients do."""

    daemon: Daemon
    port: int
    connections: int
    size: int

    def connect(self) -> socket.socket:
        """Return a new connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def head(self, method: str, path: str, *lines: str, token: bool = True) -> bytes:
        """Return the head of a request."""
        own = [f"Authorization: Bearer {self.daemon.token}"] if token else []
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *own, *lines, "", ""]).encode()


Hostile = Callable[[Scene, list[socket.socket]], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=510, help="of hostile clients (default: 510)")
    parser.add_argument("--kib", type=int, default=1024, help="that one of them sends at once (default: 1024)")
    parser.add_argument("--seconds", type=float, default=4, help="that a row is measured (default: 4)")
    parser.add_argument("--only", nargs="*", help="rows whose names contain one of these")
    parser.add_argument("--gate", type=float, help="fail where an answer took more than so many seconds")
    asked = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * asked.connections)), hard))
    rows: list[tuple[str, ...]] = []
    slowest = 0.0
    for name, hostile in ROWS.items():
        if asked.only and not any(part in name for part in asked.only):
            continue
        with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
            waits, *held = measure(Path(folder), hostile, asked)
        answered = [wait for wait in waits if wait < PATIENCE]
        slowest = max([slowest, *waits])
        shown = f"{max(waits):.2f}" if len(answered) == len(waits) else "no answer"
        rows.append((name, str(len(answered)), shown, *held))
    title = f"{asked.connections} connections, {large(asked.kib * KIB)} at once, for {asked.seconds:g} s each"
    show(title, ("", "answers", "slowest in s", "peak MiB", "CPU s", "log KiB"), rows)
    return int(asked.gate is not None and slowest > asked.gate)


def measure(folder: Path, hostile: Hostile, asked: argparse.Namespace) -> tuple[list[float], str, str, str]:
    """Return the waits of the other client, and the daemon's peak memory, CPU time and log."""
    with Daemon(folder) as daemon:
        port = int(daemon.url.rpartition(":")[2])
        scene = Scene(daemon, port, asked.connections, asked.kib * KIB)
        with OpStoreClient(daemon.url, token=daemon.token) as client:
            client.push("unread", os.urandom(16 * MIB))
        log, used = (daemon.home / "daemon.log").stat().st_size, daemon.used()
        held: list[socket.socket] = []
        worker = threading.Thread(target=_run, args=(hostile, scene, held), daemon=True)
        worker.start()
        waits = list(answers(scene, asked.seconds))
        _end(held)
        worker.join(PATIENCE)
        logged = sum(path.stat().st_size for path in daemon.home.glob("daemon.log*")) - log
        return waits, f"{daemon.peak():.0f}", f"{daemon.used() - used:.1f}", f"{logged / KIB:.0f}"


def _run(hostile: Hostile, scene: Scene, held: list[socket.socket]) -> None:
    with suppress(OSError):  # the daemon, or the end of the row, closed the connection
        hostile(scene, held)


def _end(held: list[socket.socket]) -> None:
    for connection in list(held):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def blank_lines(scene: Scene, held: list[socket.socket]) -> None:
    """Send blank lines without a token, on one connection after the other."""
    while True:
        held.append(connection := scene.connect())
        with suppress(ConnectionError):
            while True:
                connection.sendall(b"\r\n" * (scene.size // 2))


def one_byte_chunks(scene: Scene, held: list[socket.socket]) -> None:
    """Append to an upload in chunks of one byte."""
    bearer = {"Authorization": f"Bearer {scene.daemon.token}"}
    upload = requests.post(f"{scene.daemon.url}/v1/uploads", json={}, headers=bearer, timeout=PATIENCE).json()["upload"]
    lines = ("Content-Type: application/partial-upload", "Upload-Offset: 0", "Transfer-Encoding: chunked")
    held.append(connection := scene.connect())
    connection.sendall(scene.head("PATCH", f"/v1/uploads/{upload}", *lines))
    connection.sendall(b"1\r\nx\r\n" * (scene.size // 6))


def slow_heads(scene: Scene, held: list[socket.socket]) -> None:
    """Send a byte every two seconds on each connection, without a token."""
    held.extend(scene.connect() for _ in range(scene.connections))
    while True:
        for connection in held:
            with suppress(ConnectionError):
                connection.send(b"G")
        time.sleep(2)


def unread_pulls(scene: Scene, held: list[socket.socket]) -> None:
    """Ask for a version on each connection, and read nothing."""
    for _ in range(scene.connections):
        held.append(connection := scene.connect())
        connection.sendall(scene.head("GET", "/v1/ops/unread/versions/latest/bytes"))


def pipelined_pulls(scene: Scene, held: list[socket.socket]) -> None:
    """Ask for a version twice in one piece on a few connections, and read nothing."""
    for _ in range(min(scene.connections, 8)):
        held.append(connection := scene.connect())
        connection.sendall(2 * scene.head("GET", "/v1/ops/unread/versions/latest/bytes"))


def pipelined_heads(scene: Scene, held: list[socket.socket]) -> None:
    """Send many requests in one piece."""
    held.append(connection := scene.connect())
    head = scene.head("GET", "/v1/ops")
    connection.sendall(head * (scene.size // len(head)))


def request_line(scene: Scene, held: list[socket.socket]) -> None:
    """Send a request line without a token on which a pattern backtracks."""
    held.append(connection := scene.connect())
    connection.sendall(b"GET a://" + b"1" * min(scene.size // 64, 16_000) + b" x\r\n\r\n")


def header_blanks(scene: Scene, held: list[socket.socket]) -> None:
    """Send a header without a token on which a pattern backtracks."""
    held.append(connection := scene.connect())
    connection.sendall(scene.head("GET", "/v1/ops", "A:" + " " * min(scene.size // 32, 32_000) + "x", token=False))


def many_connections(scene: Scene, held: list[socket.socket]) -> None:
    """Open connections beyond the limit of open files, and send nothing."""
    resource.prlimit(scene.daemon.pid, resource.RLIMIT_NOFILE, (64, 64))
    held.extend(scene.connect() for _ in range(min(scene.connections, 100)))


def long_paths(scene: Scene, held: list[socket.socket]) -> None:
    """Send requests with long paths and without a token."""
    for _ in range(3 * scene.connections):
        connection = scene.connect()
        connection.sendall(scene.head("GET", "/" + "a" * min(scene.size // 32, 30_000), token=False))
        connection.recv(100)
        connection.close()


def urgent_data(scene: Scene, held: list[socket.socket]) -> None:
    """Send a byte of urgent data without a token."""
    held.append(connection := scene.connect())
    connection.send(b"x", socket.MSG_OOB)


ROWS: dict[str, Hostile] = {
    "blank lines, no token": blank_lines,
    "chunks of one byte": one_byte_chunks,
    "a byte every 2 s, no token": slow_heads,
    "pulls that nobody reads": unread_pulls,
    "two pulls in one piece": pipelined_pulls,
    "many requests in one piece": pipelined_heads,
    "a slow pattern: request line": request_line,
    "a slow pattern: blanks": header_blanks,
    "urgent data, no token": urgent_data,
    "64 open files": many_connections,
    "long paths, no token": long_paths,
}


def answers(scene: Scene, seconds: float) -> Iterator[float]:
    """Ask for the ops, again and again; yield the seconds until each answer (PATIENCE: none came)."""
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        time.sleep(0.05)
        began = time.perf_counter()
        try:
            with scene.connect() as connection:
                connection.sendall(scene.head("GET", "/v1/ops"))
                answered = connection.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            answered = False
        yield time.perf_counter() - began if answered else PATIENCE


if __name__ == "__main__":
    sys.exit(main())
