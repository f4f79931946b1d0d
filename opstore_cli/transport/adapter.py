"""The adapter for requests: retries, the proof of the daemon, and bodies that the kernel sends from files."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from opstore_cli.local.bounded_response import BoundedResponse
from opstore_cli.local.proof import proves_token
from opstore_cli.transport.failures import is_final
from opstore_cli.transport.interface import Body
from opstore_cli.transport.probe import handshake_failed
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system.loopback import disable_pacing

TRIES = 5
CONNECT_TRIES = 3  # how many of the TRIES may fail to connect, each after its timeout
BACKOFF, JITTER = 0.1, 0.1  # seconds: waits of 0, 0.2, 0.4 and 0.8, each plus up to JITTER
MAX_PROBLEM = 64 * 1024  # bytes of a response that is not used; a longer one costs its connection
MAX_RETRY_AFTER = 10.0  # seconds, whatever the Retry-After header says
MAX_IDLE = 64  # idle connections that are kept; urllib3 warns on stderr when it closes one more


class Slice(Protocol):
    """A part of an open file."""

    def send_to(self, to: socket.socket) -> None:
        """Send the bytes without reading them into this process. Raises FileRefused, and OSError."""


@runtime_checkable
class FileBody(Body, Protocol):
    """A body that can send itself from a file. Optional: any other body is read and sent."""

    def pieces(self, *, slices: bool) -> Iterator[bytes | Slice]:
        """Yield the rest of the body. `slices`: parts of a file may be yielded as slices.

        It may raise, which ends the request, for example because another one has already stored these bytes.
        """


class DaemonAdapter(HTTPAdapter):
    """Sends requests to one target with the given retries. `share`: use the connections of that adapter."""

    def __init__(self, target: Target, retries: Retry, share: "DaemonAdapter | None" = None) -> None:
        self._target, self._share = target, share
        super().__init__(pool_maxsize=MAX_IDLE)
        self.max_retries = retries

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        if self._share is not None:
            self.poolmanager = self._share.poolmanager
            return
        super().init_poolmanager(connections, maxsize, block, blocksize=READ_SIZE, **options)
        classes = self.poolmanager.pool_classes_by_scheme
        ours = {"http": _proving_pool(self._target), "https": _TlsPool}
        self.poolmanager.pool_classes_by_scheme = {**classes, **ours}

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _TlsPool}
        return manager


class _Retries(Retry):
    """Retries that wait at most MAX_RETRY_AFTER, whatever the server requests.

    What the next request would meet as well is not retried: TLS that failed, a proxy that refuses, another protocol.
    """

    RETRY_AFTER_STATUS_CODES = frozenset([HTTPStatus.SERVICE_UNAVAILABLE])

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if error is not None and is_final(error):
            raise error
        remaining = super().increment(method, url, response, error, _pool, _stacktrace)
        if response is not None:
            # urllib3 would read the whole body into memory before it sends the request again.
            with suppress(urllib3.exceptions.HTTPError, OSError):
                response.read(MAX_PROBLEM, decode_content=False)
            response.close()
        return remaining

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            return None  # it is neither a number of seconds nor a date
        return None if seconds is None else min(seconds, MAX_RETRY_AFTER)


def retries_of(target: Target) -> Retry:
    """Return the retries for a repeatable request."""
    return _Retries(
        total=TRIES - 1,
        # The transport locates a local daemon again after it has stopped: retries would only delay that.
        connect=0 if target.local_daemon is not None else CONNECT_TRIES - 1,
        redirect=0,
        allowed_methods=None,
        status_forcelist=routes.WITHOUT_DAEMON,  # a daemon responds with 503, too, if it can't do the request now
        backoff_factor=BACKOFF,
        backoff_jitter=JITTER,
        raise_on_status=False,
    )


def no_retries() -> Retry:
    """Return the retries for a request that must be sent only once."""
    return Retry(0, read=False, redirect=0, raise_on_status=False)


class _Connection(HTTPConnection):
    """A connection without TLS, over which the kernel can send parts of files."""

    response_class = BoundedResponse

    def connect(self) -> None:
        super().connect()
        if self.sock is not None:
            disable_pacing(self.sock)

    def send(self, data: Any) -> None:
        if isinstance(data, bytes | bytearray | memoryview) or self.sock is None:
            super().send(data)
        else:
            data.send_to(self.sock)


class _TlsConnection(HTTPSConnection):
    response_class = BoundedResponse

    def connect(self) -> None:
        try:
            super().connect()
        except (ssl.SSLError, TimeoutError, ConnectionError) as failure:
            # Not a lost connection, which would be retried: a server without TLS may wait for the end of a request.
            raise handshake_failed(failure, self.host, self.port or 443, direct=self.proxy is None) from failure


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _proving_pool(target: Target) -> type[HTTPConnectionPool]:
    """Return the class of a pool whose connections are used only if the server proves that it knows the secret."""
    prefix = urlsplit(target.url).path

    class ProvingConnection(_Connection):
        def connect(self) -> None:
            super().connect()
            sock, secret = self.sock, target.secret
            try:
                if secret is not None and (sock is None or not proves_token(sock, secret, prefix)):
                    raise errors.ProofFailed(url=target.url)
            except BaseException:
                self.close()
                raise

    class ProvingPool(HTTPConnectionPool):
        ConnectionCls = ProvingConnection

    return ProvingPool
