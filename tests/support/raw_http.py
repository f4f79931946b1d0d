"""A tiny HTTP client on a raw socket: it sends any bytes, malformed ones too, and parses the response."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from requests.structures import CaseInsensitiveDict

from tests.support.conformance import conformance
from tests.support.servers import ADMIN_TOKEN, TIMEOUT


@dataclass(frozen=True)
class Answer:
    """A response. `cut`: the connection ended before the whole body had arrived."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False


def head(
    method: str,
    target: str | bytes,
    *lines: str | bytes,
    host: str | None = None,
    token: str | None = ADMIN_TOKEN,
    version: str = "HTTP/1.1",
) -> bytes:
    """Return the head of a request. If `host` is None, the caller adds the Host line or omits it."""
    raw = target if isinstance(target, bytes) else target.encode("latin-1")
    parts = [method.encode() + b" " + raw + b" " + version.encode()]
    if host is not None:
        parts.append(b"Host: " + host.encode())
    if token is not None:
        parts.append(b"Authorization: Bearer " + token.encode())
    parts += [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    return b"\r\n".join(parts) + b"\r\n\r\n"


class Raw:
    """One connection to a daemon on this machine."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._received = bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, target: str | bytes, *lines: str | bytes, body: bytes = b"") -> Answer:
        """Send a well-framed request with a token; return the response, checked against the OpenAPI document."""
        length = [f"Content-Length: {len(body)}"] if body else []
        self.send(head(method, target, *lines, *length, host=self.host) + body)
        answer = self.answer(method)
        headers = CaseInsensitiveDict(answer.headers)
        shown = target.decode("latin-1") if isinstance(target, bytes) else target
        conformance().check_answer(method, shown, answer.status, headers, None if answer.cut else answer.body)
        return answer

    def answer(self, method: str = "GET") -> Answer:
        """Return the next response, 100 included; raise ConnectionError if the connection ends before it."""
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                raise ConnectionError(f"the connection ended after {self._received!r}")
        first, _, self._received = self._received.partition(b"\r\n\r\n")
        status_line, *lines = first.decode("latin-1").split("\r\n")
        status = int(status_line.split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        bodiless = method == "HEAD" or status < 200 or status in (204, 304)
        length = 0 if bodiless else int(headers["content-length"])
        while len(self._received) < length and self._receive():
            pass
        body = bytes(self._received[:length])
        del self._received[:length]
        return Answer(status, headers, body, cut=len(body) < length)

    def is_closed(self) -> bool:
        """Wait for the end of the connection; return False if bytes or the timeout come first."""
        if self._received:
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._received += data
        return bool(data)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ask(port: int, method: str, target: str | bytes, *lines: str | bytes, body: bytes = b"") -> Answer:
    """Send a request on a connection of its own; return the response."""
    with Raw(port) as connection:
        return connection.ask(method, target, *lines, body=body)
