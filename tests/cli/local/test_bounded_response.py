"""Responses that never end: their lines and their time are bounded, whoever reads them."""

import http.client
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import pytest

from opstore_cli.local import bounded_response
from opstore_cli.local.bounded_response import BoundedResponse
from opstore_cli.local.proof import knows_token

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MORE = 2 * bounded_response.MAX_LINES


class Endless:
    """A peer that sends a beginning, and then a piece again and again. `sent` counts the bytes."""

    def __init__(self, beginning: bytes, piece: bytes) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.sent = 0
        self._thread = threading.Thread(target=self._send, args=(beginning, piece), daemon=True)
        self._thread.start()

    def _send(self, beginning: bytes, piece: bytes) -> None:
        with suppress(OSError):
            self._theirs.sendall(beginning)
            while piece and self.sent < 16 * MORE:
                self._theirs.sendall(piece)
                self.sent += len(piece)
        self._theirs.close()

    def response(self) -> BoundedResponse:
        return BoundedResponse(self.ours, method="GET")

    def close(self) -> None:
        self.ours.close()
        self._thread.join()


def read(peer: Endless) -> bytes:
    response = peer.response()
    try:
        response.begin()
        return response.read()
    finally:
        response.close()
        peer.close()


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 1000 + b"\r\n\r\n"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
        (CHUNKED, b"\r\n"),
    ],
)
def test_endless_lines_are_refused(beginning: bytes, piece: bytes) -> None:
    peer = Endless(beginning, piece * 100)
    with pytest.raises((http.client.HTTPException, ValueError)):
        read(peer)
    assert peer.sent < 8 * MORE


@pytest.mark.parametrize("size", [b"-1", b"-5"])
def test_a_chunk_of_negative_size_is_refused(size: bytes) -> None:
    peer = Endless(CHUNKED + size + b"\r\n", b"x" * 65536)
    with pytest.raises(http.client.HTTPException):
        read(peer)
    assert peer.sent < 8 * MORE


@pytest.mark.slow
def test_a_body_of_many_chunks_is_read() -> None:
    body = b"1\r\nx\r\n" * bounded_response.MAX_LINES
    assert read(Endless(CHUNKED + body + b"0\r\n\r\n", b"")) == b"x" * bounded_response.MAX_LINES


class Clock:
    """A clock that passes 30 seconds between two looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 30.0
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    yield clock
    monkeypatch.undo()


def drip(count: int, piece: bytes) -> tuple[int, BaseException | None]:
    """Read pieces that come one by one, 30 seconds each; return how many came, and the failure."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = bounded_response._Timed(ours.makefile("rb", buffering=0))
        theirs.sendall(b"HTTP/")
        assert stream.readinto(bytearray(5)) == 5
        buffer = bytearray(len(piece))
        for number in range(count):
            theirs.sendall(piece)
            try:
                stream.readinto(buffer)
            except TimeoutError as failure:
                return number, failure
    return count, None


def test_a_response_that_drips_ends(clock: Clock) -> None:
    allowed = int(bounded_response.ALLOWANCE // 30)
    assert drip(10 * allowed, b"x")[0] == allowed - 1  # the first 30 seconds were those of the begin
    assert drip(10 * allowed, b"x" * 30 * int(bounded_response.MIN_RATE)) == (10 * allowed, None)


@pytest.mark.parametrize("begin", [b"220 mail\r\n", b"SSH", b"h", b"\x15", b"\0" * 200, b"HTTPS", b"HTT\n"])
@pytest.mark.parametrize("size", [1, 200])
def test_another_protocol_ends_the_response_at_once(begin: bytes, size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(begin)
        stream = bounded_response._Timed(ours.makefile("rb", buffering=0))
        with pytest.raises(bounded_response.NotHttp, match="its response is not HTTP"):
            deque(iter(lambda: stream.readinto(bytearray(size)), 0), maxlen=0)


def test_the_response_with_the_proof_is_bounded() -> None:
    peer = Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    assert not knows_token_of(peer)
    assert peer.sent < 8 * MORE


def knows_token_of(peer: Endless) -> bool:
    class Named:
        """The socket of the peer, with an address."""

        def getpeername(self) -> tuple[str, int]:
            return "127.0.0.1", 1

        def __getattr__(self, name: str) -> object:
            return getattr(peer.ours, name)

    try:
        return knows_token(Named(), "token")  # type: ignore[arg-type]
    finally:
        peer.close()
