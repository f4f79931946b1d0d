"""HTTP responses that a server can't draw out for ever.

http.client bounds the length of a line and the number of headers, but neither the number of interim responses (RFC
9110, section 15.2) nor that of trailers. A timeout of a socket bounds the time without a byte only.
"""

import http.client
import io
import socket
import time
from typing import Any

MAX_LINES = 256 * 1024  # bytes of lines, such as headers, trailers and sizes of chunks, without a byte of a body
ALLOWANCE = 600.0  # seconds of waiting for one response, in addition to those for MIN_RATE
MIN_RATE = 1024.0  # bytes a second

MAX_SHOWN = 100  # bytes of another protocol

_BEGIN = b"HTTP/"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")  # an alert and a handshake, of any version (RFC 8446, section 5.1)


class NotHttp(http.client.HTTPException):
    """The server speaks another protocol. `is_tls`: what it sent begins like a record of TLS."""

    def __init__(self, received: bytes) -> None:
        line = received[:MAX_SHOWN].splitlines()[0] if received.strip() else b""
        words = line.decode("ascii", "replace")
        shown = f": it begins with {words[:60]!r}" if words.isascii() and words.isprintable() and words else ""
        super().__init__(f"its response is not HTTP{shown}")
        self.is_tls = received.startswith(_TLS_RECORDS)


def check_begin(received: bytes) -> None:
    """Raise NotHttp unless a response of HTTP may begin with these bytes."""
    if not _BEGIN.startswith(received[: len(_BEGIN)]):
        raise NotHttp(received)


class BoundedResponse(http.client.HTTPResponse):
    """A response that ends in time.

    Reading raises NotHttp for another protocol, RemoteDisconnected if the headers are cut off, HTTPException after
    MAX_LINES, and TimeoutError if the server is slower than MIN_RATE: a slow reader of the response does not count.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = self._reader = _Reader(_Timed(sock.makefile("rb", buffering=0)))

    def begin(self) -> None:
        super().begin()
        if not self._reader.line_is_empty:  # http.client takes headers that are cut off for all of them
            raise http.client.RemoteDisconnected("the response ended in its headers")
        lengths = ",".join(self.headers.get_all("Content-Length", [])).split(",")
        if len({length.strip() for length in lengths}) > 1:  # urllib3 would raise, and leave this response open
            raise http.client.HTTPException("the response has two lengths")


class _Timed(io.RawIOBase):
    """A stream of a socket that adds up how long it waited for how many bytes."""

    def __init__(self, stream: socket.SocketIO) -> None:
        self._stream = stream
        self._waited, self._received = 0.0, 0
        self._begin = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        start = time.monotonic()
        count = self._stream.readinto(buffer)
        self._waited += time.monotonic() - start
        self._received += count or 0
        if count and len(self._begin) < len(_BEGIN):
            self._begin += bytes(buffer[: min(count, MAX_SHOWN)])
            check_begin(self._begin)
        if self._waited > ALLOWANCE + self._received / MIN_RATE:
            raise TimeoutError("the response is too slow")
        return count

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _Reader(io.BufferedReader):
    """A buffered stream that bounds the lines between two pieces of a body."""

    _lines = 0  # bytes
    line_is_empty = False  # the last line, as after the headers

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        self.line_is_empty = line in (b"\r\n", b"\n")
        self._lines += len(line)
        if self._lines > MAX_LINES:
            raise http.client.HTTPException("the response has too many headers or trailers")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        self._lines = 0
        if size is None or size < 0:
            # The size of a chunk may be negative; and nobody reads a whole response without a limit.
            raise http.client.HTTPException("the response has an invalid length")
        return super().read(size)

    def read1(self, size: int = -1, /) -> bytes:
        self._lines = 0
        return super().read1(size)

    def readinto(self, buffer: Any, /) -> int:
        self._lines = 0
        return super().readinto(buffer)
