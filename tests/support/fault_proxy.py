"""Proxies in front of a server: one cuts, delays and hangs connections of any kind, the other does it to HTTP requests.

    with HttpProxy(port, every(10, SLOW_DOWN)) as proxy:
        client = bucket.at(proxy.url).client()

Both pass everything on unchanged, Host included, because signatures cover it. `tests/support/lossy_proxy.py` does the
same to a daemon, whose proofs need an answer.
"""

import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Literal

from tests.support.private_server import free_ports
from tests.support.wire import Listening

PIECE = 65536
Way = Literal["up", "down"]


class TcpProxy(Listening):
    """Forwards connections to the server on a port of loopback. `counts` are the forwarded bytes, `cuts` the cuts.

    `delay`: seconds before it forwards what came from the client.
    """

    def __init__(self, server_port: int, port: int | None = None) -> None:
        """`port`: that it listens on (None: any free one)."""
        super().__init__(port or free_ports(1)[0])  # which stays free while the proxy is away
        self._server_port = server_port
        self.delay = 0.0
        self.counts: dict[Way, int] = {"up": 0, "down": 0}
        self.cuts = 0
        self._limits: dict[Way, int | None] = {"up": None, "down": None}
        self._lost: bytes | None = None
        self._doomed: socket.socket | None = None
        self._flows, self._ended = threading.Event(), threading.Event()
        self._flows.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._flows.set()
        super().__exit__(kind, error, trace)

    def go_away(self) -> None:
        """Close all connections and refuse new ones."""
        super().__exit__(None, None, None)

    def come_back(self) -> None:
        """Accept connections again, on the same port."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        super().__enter__()

    def hang(self) -> None:
        """Accept connections and bytes, and forward nothing until `resume`."""
        self._flows.clear()

    def resume(self) -> None:
        """Forward what came since `hang`, and everything after it."""
        self._flows.set()

    def cut_after(self, count: int, way: Way) -> None:
        """Cut one connection after so many more bytes from the client (`up`) or to it (`down`)."""
        self._limits[way] = self.counts[way] + count

    def lose_response_to(self, words: bytes) -> None:
        """Cut one connection when the server responds to bytes that contain these: it has done what it was asked."""
        self._lost = words

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, self._connect() as server:
            back = threading.Thread(target=self._forward, args=(server, connection, "down"), daemon=True)
            back.start()
            self._forward(connection, server, "up")
            back.join()

    def _connect(self) -> socket.socket:
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._open.append(server)
        return server

    def _forward(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE):
                if way == "up":
                    self._ended.wait(self.delay)
                self._flows.wait()
                if not self._pass(data, source, target, way):
                    break
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _pass(self, data: bytes, source: socket.socket, target: socket.socket, way: Way) -> bool:
        """Forward the bytes up to the limit; return False if the connection is to be cut after them."""
        limit = self._limits[way]
        part = data if limit is None else data[: limit - self.counts[way]]
        if target is self._doomed:
            part, self._doomed = b"", None
        elif way == "up" and self._lost and self._lost in data:
            self._lost, self._doomed = None, source
        self.counts[way] += len(part)
        target.sendall(part)
        if len(part) == len(data):
            return True
        self._limits[way] = None
        self.cuts += 1
        return False


Kind = Literal["refuse", "lose the request", "cut the request", "lose the response", "cut the response", "delay"]


@dataclass(frozen=True)
class Fault:
    """What happens to one request. `at`: after how many bytes of the body it is cut; `seconds`: of a delay."""

    kind: Kind
    at: int = 0
    seconds: float = 0.0
    status: str = "503 Slow Down"
    code: str = "SlowDown"

    def refusal(self) -> bytes:
        """Return the response of an S3 server that refuses a request."""
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>{self.status}</Message></Error>"
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n{body}".encode()


SLOW_DOWN = Fault("refuse")
INTERNAL_ERROR = Fault("refuse", status="500 Internal Server Error", code="InternalError")


@dataclass(frozen=True)
class Request:
    """The head of a request. `number`: how many came before it."""

    head: bytes
    number: int

    @property
    def line(self) -> str:
        """Its first line, such as `PUT /tests/key?partNumber=1 HTTP/1.1`."""
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]

    @property
    def expects_continue(self) -> bool:
        """Whether the client sends the body only after a `100 Continue`."""
        return _header(self.head, b"expect") is not None


Policy = Callable[[Request], Fault | None]


def every(count: int, fault: Fault, matching: str = "") -> Policy:
    """Return a policy: the fault happens to each `count`-th request whose first line contains the regex."""
    seen = 0

    def policy(request: Request) -> Fault | None:
        nonlocal seen
        if not re.search(matching, request.line):
            return None
        seen += 1
        return fault if seen % count == 0 else None

    return policy


def first(count: int, fault: Fault, matching: str = "") -> Policy:
    """Return a policy: the fault happens to the first requests whose first line contains the regex."""
    seen = 0

    def policy(request: Request) -> Fault | None:
        nonlocal seen
        if seen >= count or not re.search(matching, request.line):
            return None
        seen += 1
        return fault

    return policy


def share(part: float, seed: int, *faults: Fault) -> Policy:
    """Return a policy: one of the faults happens to this part of the requests, by a generator with the seed."""
    chance = random.Random(seed)
    return lambda _: chance.choice(faults) if chance.random() < part else None


class HttpProxy(TcpProxy):
    """Forwards HTTP requests; `fault_for` returns the fault of a request, or None.

    `requests` are those that came, `happened` counts the faults by kind.
    """

    def __init__(self, server_port: int, fault_for: Policy = lambda _: None, port: int | None = None) -> None:
        super().__init__(server_port, port=port)
        self.fault_for = fault_for
        self.requests: list[Request] = []
        self.happened: Counter[Kind] = Counter()
        self._lock = threading.Lock()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while (head := _read_head(stream)) and self._serve(head, connection, stream):
                pass
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, head: bytes, connection: socket.socket, stream: BinaryIO) -> bool:
        """Answer one request; return whether the connection may go on."""
        with self._lock:
            request = Request(head, len(self.requests))
            self.requests.append(request)
            fault = self.fault_for(request)
            if fault is not None:
                self.happened[fault.kind] += 1
        self._ended.wait(self.delay if fault is None or fault.kind != "delay" else fault.seconds)
        self._flows.wait()
        if fault is not None and fault.kind == "lose the request":
            return False
        if fault is not None and fault.kind == "refuse":
            if not request.expects_continue:
                for _ in _body(head, stream):
                    pass
            connection.sendall(fault.refusal())
            return False
        with self._connect() as server:
            return _Exchange(request, fault, connection, server).run(stream)


class _Exchange:
    """One request and its response, forwarded at the same time: a server may answer before it has read all."""

    def __init__(self, request: Request, fault: Fault | None, client: socket.socket, server: socket.socket) -> None:
        self._request, self._client, self._server = request, client, server
        self._kind: Kind | None = fault.kind if fault is not None else None
        self._at = fault.at if fault is not None else 0
        self._continued = threading.Event()
        self._is_answered = self._is_complete = False

    def run(self, stream: BinaryIO) -> bool:
        answering = threading.Thread(target=self._answer, daemon=True)
        self._server.sendall(self._request.head)
        answering.start()
        if self._request.expects_continue:
            self._continued.wait()
        if not self._is_answered or not self._request.expects_continue:
            self._forward_body(_body(self._request.head, stream))
        answering.join()
        return self._is_complete

    def _forward_body(self, pieces: Iterator[bytes]) -> None:
        if self._kind == "cut the request":
            _send(pieces, self._server, self._at)
            self._server.shutdown(socket.SHUT_RDWR)
            return
        try:
            _send(pieces, self._server)
        except OSError:  # it has answered, and reads no more
            for _ in pieces:
                pass

    def _answer(self) -> None:
        with suppress(OSError, ValueError), self._server.makefile("rb") as stream:
            while head := _read_head(stream):
                status = int(head.split(b" ", 2)[1])
                if status >= 200:
                    break
                self._client.sendall(head)
                self._continued.set()
            else:
                return
            self._is_answered = True
            self._continued.set()
            self._pass_on(head, _body(head, stream, is_empty=self._request.method == "HEAD" or status in (204, 304)))
        self._continued.set()
        if not self._is_complete:  # wake the thread that reads the request
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, head: bytes, pieces: Iterator[bytes]) -> None:
        if self._kind in ("lose the response", "cut the request"):
            for _ in pieces:
                pass
            return
        self._client.sendall(head)
        if self._kind == "cut the response":
            _send(pieces, self._client, self._at)
            return
        _send(pieces, self._client)
        self._is_complete = True


def _send(pieces: Iterator[bytes], target: socket.socket, limit: int | None = None) -> None:
    """Send the pieces, or their first `limit` bytes."""
    for piece in pieces:
        part = piece if limit is None else piece[:limit]
        target.sendall(part)
        if limit is not None:
            limit -= len(part)
            if limit == 0:
                return


def _header(head: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"(?im)^" + name + rb":[ \t]*(.*?)[ \t]*\r$", head)
    return found and found[1]


def _read_head(stream: BinaryIO) -> bytes:
    """Read the head of a message; return no bytes if the connection ends before."""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join([*lines, line]) if line else b""


def _body(head: bytes, stream: BinaryIO, *, is_empty: bool = False) -> Iterator[bytes]:
    """Yield the bytes of the body of a message as they arrive, with the framing of chunks."""
    if is_empty:
        return
    if (_header(head, b"transfer-encoding") or b"").lower() == b"chunked":
        size = -1
        while size:
            line = stream.readline()
            size = int(line.partition(b";")[0], 16)
            yield line + (_read(stream, size + 2) if size else b"")
        while (line := stream.readline()) not in (b"\r\n", b""):  # trailers
            yield line
        yield line
        return
    left = int(_header(head, b"content-length") or 0)
    while left:
        data = _read(stream, min(left, PIECE))
        left -= len(data)
        yield data


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ConnectionResetError
    return data
