"""The other end of a connection: a server that is no daemon, and a proxy that pauses in the middle of a transfer."""

import functools
import re
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from opstore_daemon.protocol import proof
from tests.support.machines import Machine
from tests.support.waiting import WITHIN

BUFFER = 256 * 1024  # bytes that the system buffers for a receiver, which are lost when a connection is cut


class Listening:
    """A listening socket on loopback with a thread for each connection."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # connections inherit it
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()

    def cut(self) -> None:
        """Close all connections; bytes that were not forwarded are lost."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        raise NotImplementedError


def proof_for(head: bytes, port: int, tokens: Sequence[str]) -> bytes | None:
    """Return the response to a proof request of a server that listens on the port and knows these tokens."""
    nonce = re.search(rb"Opstore-Nonce: ([0-9a-f]+)", head)
    if nonce is None or not tokens:
        return None
    given = ", ".join(proof.prove(proof.key_of(each), nonce[1].decode(), f"127.0.0.1:{port}") for each in tokens)
    return f"HTTP/1.1 200 OK\r\nOpstore-Proof: {given}\r\nContent-Length: 0\r\n\r\n".encode()


class Stranger(Listening):
    """A server that is no daemon: it records every byte, and gives the same response to all requests.

    It proves that it knows these tokens.
    """

    def __init__(
        self, status: str = "404 Not Found", headers: str = "", body: bytes = b"", tokens: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.received = b""
        self._tokens = tokens
        self._answer = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
            + body
        )

    def _handle(self, connection: socket.socket) -> None:
        pending = b""
        with suppress(OSError):
            while data := connection.recv(65536):
                self.received += data
                pending += data
                while b"\r\n\r\n" in pending:
                    head, _, pending = pending.partition(b"\r\n\r\n")
                    proof = proof_for(head, self.port, self._tokens)
                    connection.sendall(proof or self._answer)


class Wire(Listening):
    """A proxy in front of a daemon that counts bytes and pauses at `stop_up` or `stop_down` of them.

    Connections that are made after it paused are forwarded: a test can look at the state without another pause. The
    proxy proves that it knows the token; with `proves=False` it forwards the proof of the daemon.
    """

    def __init__(self, machine: Machine, *, proves: bool = True) -> None:
        super().__init__()
        self._proves = proves
        self._machine = machine
        self.up = self.down = 0  # bytes forwarded to the daemon, and from it
        self.stop_up: int | None = None
        self.stop_down: int | None = None
        self.stopped = threading.Event()
        self._resumed = threading.Event()

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment of a command that uses this proxy."""
        return {"OPSTORE_URL": self.url, "OPSTORE_TOKEN": self._machine.token}

    def resume(self) -> None:
        """Resume forwarding, with the held bytes first."""
        self.stop_up = self.stop_down = None
        self._resumed.set()

    def cut(self) -> None:
        super().cut()
        self._resumed.set()

    def reset(self) -> None:
        """Start over: close all connections, set the counts to 0, and forward without a limit."""
        self.cut()
        self.up = self.down = 0
        self.stop_up = self.stop_down = None
        self.stopped.clear()
        self._resumed.clear()

    def _handle(self, connection: socket.socket) -> None:
        try:
            daemon = socket.socket()
            daemon.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            daemon.connect(("127.0.0.1", self._machine.runtime()["port"]))
        except OSError:
            daemon.close()
            connection.close()  # no daemon runs
            return
        self._open.append(daemon)
        stops = not self.stopped.is_set()
        threading.Thread(target=self._forward, args=(daemon, connection, "down", stops), daemon=True).start()
        self._forward(connection, daemon, "up", stops)

    def _forward(self, source: socket.socket, target: socket.socket, way: str, stops: bool) -> None:
        # The daemon accepts only its own address as Host.
        ours, its = (f"Host: 127.0.0.1:{port}".encode() for port in (self.port, self._machine.runtime()["port"]))
        with suppress(OSError):
            while data := source.recv(65536):
                tokens = [self._machine.token] if self._proves and way == "up" else []
                if answer := proof_for(data[:65536].partition(b"\r\n\r\n")[0], self.port, tokens):
                    source.sendall(answer)
                    continue
                limit = getattr(self, f"stop_{way}")
                if stops and limit is not None and getattr(self, way) + len(data) > limit:
                    self.stopped.set()
                    self._resumed.wait(WITHIN)
                target.sendall(data.replace(ours, its) if way == "up" else data)
                setattr(self, way, getattr(self, way) + len(data))
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()  # or a sender would wait for a reader


@functools.cache
def refusing_port() -> int:
    """Return a port that refuses connections. It stays taken: nothing begins to listen on it in the meantime."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        found.detach()
    return port


def unused_port() -> int:
    """Return a port that a daemon can listen on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port
