"""Requests on a new connection to the local daemon: the proof that it knows the token, and the request to stop."""

import http.client
import io
import socket
import time

from opstore_cli.local.bounded_response import NotHttp, check_begin
from opstore_daemon.protocol import proof, routes

MAX_BODY = 64 * 1024  # bytes of a health response
MAX_HEAD = 64 * 1024  # bytes of its head
TIMEOUT = 5.0  # seconds for the whole response, if the socket has no timeout


class DaemonAbsent(ConnectionError):
    """A proxy or load balancer at the other end reaches no daemon; `status` is that of its response."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def knows_token(sock: socket.socket, token: str, prefix: str = "") -> bool:
    """Return whether the other end of a new connection proves that it knows the token.

    Use the connection only if it does. Each connection needs its own proof: the daemon may have stopped, and another
    user may have taken its port. `prefix` is the path of the daemon's URL. Raises OSError if the connection
    breaks, and TimeoutError if the whole response takes longer than the timeout of the socket.
    """
    try:
        return proves_token(sock, token, prefix)
    except (NotHttp, DaemonAbsent):
        return False


def proves_token(sock: socket.socket, token: str, prefix: str = "") -> bool:
    """Do as `knows_token`, but raise NotHttp for another protocol, and DaemonAbsent for a proxy without a daemon."""
    nonce = proof.new_nonce()
    # The numeric address: another program may listen on another address of the same name.
    at = proof.authority(*sock.getpeername()[:2])
    response = _request(sock, f"GET {prefix}{routes.HEALTH}", at, f"{routes.NONCE}: {nonce}")
    if response is not None and response.status in routes.WITHOUT_DAEMON:
        raise DaemonAbsent(response.status)
    if response is None or response.status != http.client.OK or response.will_close:
        return False
    received = response.headers.get(routes.PROOF, "")
    return received.isascii() and proof.is_proof(received, token, nonce, at)


def request_stop(sock: socket.socket, token: str) -> int | None:
    """Ask the daemon at the other end, which has proven itself, to stop; return the status of its response.

    None if the response is not HTTP. Raises OSError if the connection breaks.
    """
    at = proof.authority(*sock.getpeername()[:2])
    try:
        response = _request(sock, f"POST {routes.STOP}", at, f"Authorization: Bearer {token}", "Content-Length: 0")
    except NotHttp:
        return None
    return None if response is None else response.status


def _request(sock: socket.socket, line: str, at: str, *headers: str) -> http.client.HTTPResponse | None:
    """Send a request without a body and return the response, whose body is read; None for an invalid one."""
    head = "\r\n".join([f"{line} HTTP/1.1", f"Host: {at}", *headers, "", ""])
    timeout = sock.gettimeout()
    deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
    try:
        sock.sendall(head.encode())
        return _response(sock, deadline, line.partition(" ")[0])
    finally:
        sock.settimeout(timeout)


def _response(sock: socket.socket, deadline: float, method: str) -> http.client.HTTPResponse | None:
    """Read one response of known, small size, and not a byte more: the connection is used for other requests."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MAX_HEAD:
            return None
        data += _receive(sock, deadline)
        check_begin(data)
    length = data.index(b"\r\n\r\n") + 4
    response = http.client.HTTPResponse(_Received(data), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
    except (http.client.HTTPException, ValueError):
        return None
    if response.length is None or response.length > MAX_BODY:
        return None
    size = length + response.length
    while len(data) < size:
        data += _receive(sock, deadline)
    return response if len(data) == size else None


def _receive(sock: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
    data = sock.recv(MAX_BODY)
    if not data:
        raise http.client.RemoteDisconnected("the response ended early")
    return data


class _Received:
    """Received bytes in the place of a socket, for http.client."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_arguments: object) -> io.BytesIO:
        return io.BytesIO(self._data)
