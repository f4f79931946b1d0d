"""A proxy between a client and a daemon that loses, cuts, doubles and delays whole requests and their responses.

It proves that it knows the daemon's token, as a proxy that ends the connection of the client would have to.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Literal

from tests.support.waiting import WITHIN
from tests.support.wire import Listening, proof_for

Kind = Literal[
    "lose the request",
    "cut the request",
    "lose the response",
    "cut the response",
    "double",
    "double at once",
    "deliver late",
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Fault:
    """What happens to one request. `at`: which part of the bytes arrives, from 0 to 1, if it is cut."""

    kind: Kind
    at: float = 0.5


@dataclass(frozen=True)
class Message:
    """A request or a response, as it was on the wire."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        """Its first line."""
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    def until(self, at: float) -> bytes:
        """Return this part of its bytes: always some, never all."""
        return self.raw[: max(1, min(int(len(self.raw) * at), len(self.raw) - 1))]


def read_message(stream: BinaryIO, *, has_body: bool = True) -> Message | None:
    """Read one message from a connection; None if it ends before. `has_body`: False for a response to HEAD."""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    if not line:
        return None
    head = b"".join(lines) + line
    if b"\r\ntransfer-encoding: chunked\r\n" in head.lower():
        chunks: list[bytes] = []
        while not chunks or chunks[-1].partition(b"\r\n")[0] != b"0":
            line = stream.readline()
            chunk = stream.read(int(line, 16) + 2) if line else b""
            if len(chunk) < 2:
                return None
            chunks.append(line + chunk)
        return Message(head, b"".join(chunks))
    lengths = [line.partition(b":")[2] for line in lines if line.lower().startswith(b"content-length:")]
    size = int(lengths[0]) if lengths and has_body else 0
    body = stream.read(size)
    return Message(head, body) if len(body) == size else None


class LossyProxy(Listening):
    """Forwards requests to the daemon at `address`; `fault_for` returns the fault of a request, or None.

    `happened` counts the faults by kind.
    """

    def __init__(
        self, address: tuple[str, int], token: str, fault_for: Callable[[Message], Fault | None] = lambda _: None
    ) -> None:
        super().__init__()
        self._address, self._token, self.fault_for = address, token, fault_for
        self.happened: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._late: list[bytes] = []
        self._lock = threading.Lock()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while request := read_message(stream):
                proof = proof_for(request.head, self.port, [self._token])
                if proof is not None:
                    connection.sendall(proof)
                    continue
                with self._lock:
                    fault = self.fault_for(request)
                    if fault is not None:
                        self.happened[fault.kind] += 1
                    late, self._late = self._late, []
                answer = self._forwarded(request, fault)
                for earlier in late:  # after what the client sent in its place
                    self._send(earlier)
                if answer is None:
                    break
                connection.sendall(answer)
                if fault is not None and fault.kind == "cut the response":
                    break
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _forwarded(self, request: Message, fault: Fault | None) -> bytes | None:
        """Do to the request what the fault says; return what the client gets, None if its connection ends."""
        host = f"Host: {self._address[0]}:{self._address[1]}".encode()
        request = Message(request.head.replace(f"Host: 127.0.0.1:{self.port}".encode(), host), request.body)
        if fault is None:
            return self._send(request.raw)
        if fault.kind == "lose the request":
            return None
        if fault.kind == "cut the request":
            self._send(request.until(fault.at), is_cut=True)
            return None
        if fault.kind == "deliver late":
            self._late.append(request.raw)
            return None
        if fault.kind == "double at once":
            twin = threading.Thread(target=self._send, args=(request.raw,))
            twin.start()
            answer = self._send(request.raw)
            twin.join()
            return answer
        answer = self._send(request.raw)
        if fault.kind == "double":
            return self._send(request.raw)
        if fault.kind == "lose the response" or answer is None:
            return None
        return Message(b"", answer).until(fault.at)

    def _send(self, raw: bytes, *, is_cut: bool = False) -> bytes | None:
        """Send these bytes on a connection of their own; return the response, None without one."""
        with suppress(OSError), socket.create_connection(self._address, timeout=WITHIN) as daemon:
            with suppress(OSError):
                daemon.sendall(raw)
                if is_cut:  # else the daemon would take the client for gone
                    daemon.shutdown(socket.SHUT_WR)
            with daemon.makefile("rb") as stream:
                answer = read_message(stream, has_body=not raw.startswith(b"HEAD"))
            return None if answer is None else answer.raw
        return None


class CuttingProxy(Listening):
    """Forwards bytes, and cuts connections. `up` and `down` count the forwarded bytes, `cuts` the cuts.

    `taken` counts the bytes that were read from the client.
    """

    def __init__(self, address: Callable[[], tuple[str, int]], token: str) -> None:
        super().__init__()
        self._address, self._token = address, token
        self._limits: dict[str, int | None] = {"up": None, "down": None}
        self._every, self._is_down, self._then = 0, False, ""
        self.counts = {"up": 0, "down": 0}
        self.taken = self.cuts = 0

    @property
    def up(self) -> int:
        return self.counts["up"]

    @property
    def down(self) -> int:
        return self.counts["down"]

    def cut_after(
        self, count: int, way: Literal["up", "down"], then: Literal["down", "forward", "again"] = "down"
    ) -> None:
        """Accept connections, and cut one after so many more bytes that way, from the client or to it.

        After that the proxy is down, forwards everything, or does the same again.
        """
        self.forward()
        self._every, self._then = count, then
        self._limits[way] = self.counts[way] + count

    def forward(self) -> None:
        """Accept connections, and cut none."""
        self.cut()  # what is left of earlier ones
        self._limits = dict.fromkeys(self._limits)
        self._is_down = False

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._is_down:
                return
            with socket.create_connection(self._address()) as daemon:
                back = threading.Thread(target=self._forward_down, args=(daemon, connection), daemon=True)
                back.start()
                self._forward_up(connection, daemon)
                back.join(WITHIN)

    def _forward_up(self, client: socket.socket, daemon: socket.socket) -> None:
        ours, its = (f"Host: 127.0.0.1:{port}".encode() for port in (self.port, self._address()[1]))
        with suppress(OSError):
            while data := client.recv(65536):
                proof = proof_for(data.partition(b"\r\n\r\n")[0], self.port, [self._token])
                if proof is not None:
                    client.sendall(proof)
                    continue
                self.taken += len(data)
                if not self._send(data.replace(ours, its), "up", daemon, client):
                    break
        with suppress(OSError):
            daemon.shutdown(socket.SHUT_WR)  # what was forwarded arrives

    def _forward_down(self, daemon: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := daemon.recv(65536):
                if not self._send(data, "down", client, client):
                    break
        for each in (client, daemon):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _send(self, data: bytes, way: str, target: socket.socket, client: socket.socket) -> bool:
        """Forward the bytes up to the limit; return False and end the client's connection if that is reached."""
        limit = self._limits[way]
        part = data if limit is None else data[: limit - self.counts[way]]
        self.counts[way] += len(part)
        target.sendall(part)
        if len(part) == len(data):
            return True
        self.cuts += 1
        self._is_down = self._then == "down"
        self._limits[way] = self.counts[way] + self._every if self._then == "again" else None
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        return False
