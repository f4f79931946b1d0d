"""Requests past the daemon: a GET or a PUT of a URL in the object store, which the daemon has named.

The daemon can have the client do nothing but that (docs/direct.md): the request has no token, no cookies and no
credentials of a netrc file, follows no redirect, and goes to no address that is refused (transport.addresses). The
caller verifies the bytes that come; those that go are a part of an upload, with their checksum. The URL is a
credential, so it is in no error and in no log.
"""

import logging
import re
import socket
import threading
import weakref
from contextlib import closing, suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from opstore_cli.config.urls import check_url, is_loopback
from opstore_cli.local.bounded_response import BoundedResponse
from opstore_cli.transport.adapter import no_retries
from opstore_cli.transport.addresses import AddressRefused, check_address, resolve
from opstore_cli.transport.connections import (
    COMMIT_TIMEOUT,
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    SEND_TIMEOUT,
    HttpResponse,
    Pieces,
    certificates,
)
from opstore_cli.transport.direct_interface import PARALLEL, DirectExpired, DirectFailed, DirectInterrupted
from opstore_cli.transport.failures import causes, translated_errors
from opstore_cli.transport.interface import Body
from opstore_cli.transport.response import ApiResponse
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.limits import READ_SIZE

CHECKSUM = "x-amz-checksum-sha256"
# What the query of a URL for a part has. Nothing is sent to any other URL.
SIGNED_PART = frozenset(("uploadid", "partnumber", "x-amz-signature"))
MAX_ANSWER = 64 * 1024  # bytes of an answer to a PUT, which are not used; a longer one costs its connection

_REFUSED = (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST)
_ETAG = re.compile(r"[\x21-\x7e]{1,1024}")


class DirectConnections:
    """The connections of one process to the server of a URL, for any thread.

    Raises DirectFailed if the server may not be requested. Each URL that is requested has to be one of that server.
    """

    def __init__(self, url: str, daemon_url: str) -> None:
        self._daemon_url, self._origin = daemon_url, _origin(_checked(url, daemon_url))
        self._adapter = _Adapter(loopback=is_loopback(daemon_url))
        self._proxies = {} if is_loopback(self._origin) else requests.utils.get_environ_proxies(self._origin)
        self._verify = certificates()

    @property
    def origin(self) -> str:
        """Scheme and host of the URLs, which may be printed."""
        return self._origin

    def get(self, url: str, first: int, end: int | None = None) -> ApiResponse:
        """GET the bytes from offset `first` to before `end`; return the response, whose caller closes it.

        Raises DirectExpired if the server refuses the URL, and DirectFailed.
        """
        asked = {"Range": f"bytes={first}-" if end is None else f"bytes={first}-{end - 1}"}
        response = self._send("GET", url, asked, None, (CONNECT_TIMEOUT, READ_TIMEOUT))
        if response.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return ApiResponse(HttpResponse(response, self._origin))
        response.close()
        raise self._failure(response.status_code)

    def put(self, url: str, body: Body, checksum: str) -> str:
        """PUT the bytes of one part; return the ETag of the answer. `checksum`: their SHA-256 in base64.

        Raises DirectExpired if the server refuses the URL or the bytes, DirectInterrupted if they may be sent again,
        DirectFailed, and what reading the body raises.
        """
        names = parse_qs(urlsplit(url).query, keep_blank_values=True)
        if not {name.lower() for name in names} >= SIGNED_PART:
            raise DirectFailed(self._origin, "the daemon names a URL that is not signed for a part")
        sent = Pieces(body, slices=False)
        response = self._send("PUT", url, {CHECKSUM: checksum}, sent, (SEND_TIMEOUT, COMMIT_TIMEOUT))
        with closing(response):
            if response.status_code != HTTPStatus.OK:
                raise self._failure(response.status_code)
            with suppress(errors.OpStoreError, ValueError):  # the rest of it, so that the connection is used again
                ApiResponse(HttpResponse(response, self._origin)).read(MAX_ANSWER)
        etag = str(response.headers.get("ETag", ""))
        if not _ETAG.fullmatch(etag):
            raise DirectFailed(self._origin, "its answer has no ETag")
        return etag

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: Any, timeouts: tuple[float, float]
    ) -> requests.Response:
        if _origin(_checked(url, self._daemon_url)) != self._origin:
            raise DirectFailed(self._origin, "the daemon names another server, too")
        prepared = requests.PreparedRequest()
        prepared.prepare_method(method)
        prepared.url = url  # as it is: it is signed
        prepared.prepare_headers({"User-Agent": f"opstore/{__version__}", "Accept-Encoding": "identity", **headers})
        prepared.prepare_body(body, None)
        options: dict[str, Any] = {"verify": self._verify, "proxies": self._proxies}
        try:
            with translated_errors(self._origin):
                return self._adapter.send(prepared, stream=True, timeout=timeouts, **options)
        except errors.FileRefused:  # of the body
            raise
        except errors.InvalidSetting:
            failure = DirectFailed(self._origin, "the URL can't be requested")
        except errors.ConnectionLost as error:
            failure = DirectInterrupted(self._origin, _reason(error))
        except errors.OpStoreError as error:
            failure = DirectFailed(self._origin, _reason(error))
        raise failure  # outside of the handlers: the URL is in the text of what requests has raised

    def _failure(self, status: int) -> DirectFailed:
        kind = DirectExpired if status in _REFUSED else DirectFailed
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            kind = DirectInterrupted
        return kind(self._origin, f"it answers with HTTP {status}")

    def abort(self) -> None:
        """End all requests of other threads, which raise DirectFailed then, and have no more."""
        self._adapter.opened.abort()

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _checked(url: str, daemon_url: str) -> SplitResult:
    """Return the parts of the URL; raise DirectFailed for one that a client must not request."""
    try:
        check_url(url.partition("?")[0], "")
        parts = urlsplit(url)
    except (errors.InvalidSetting, ValueError):
        raise DirectFailed("the object store", "the daemon names no URL") from None
    origin = _origin(parts)
    if not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}#'):
        raise DirectFailed(origin, "the daemon names no URL")
    at_home = is_loopback(daemon_url)
    if parts.scheme == "http" and not (at_home and daemon_url.startswith("http:") and is_loopback(origin)):
        raise DirectFailed(origin, "it has no TLS")
    with suppress(ValueError):
        try:
            check_address(ip_address((parts.hostname or "").partition("%")[0]), loopback=at_home)
        except AddressRefused as error:
            raise DirectFailed(origin, str(error)) from None
    return parts


def _reason(failure: errors.OpStoreError) -> str:
    for link in causes(failure):
        if isinstance(link, AddressRefused):
            return str(link)
    return str(failure.details.get("reason") or failure.text)


class _Opened:
    """The connections that are open, which another thread can shut down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._is_aborted = False

    def add(self, connection: HTTPConnection) -> None:
        with self._lock:
            if self._is_aborted:
                raise NewConnectionError(connection, "the transfer has ended")
            self._connections.add(connection)

    def abort(self) -> None:
        with self._lock:
            self._is_aborted = True
            for connection in self._connections:
                # Not SSLSocket.shutdown, which takes away the state that another thread uses.
                with suppress(OSError):
                    if isinstance(connection.sock, socket.socket):
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Sends each request once, to allowed addresses. `loopback`: this machine is one."""

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback
        self.opened = _Opened()
        super().__init__(pool_connections=1, pool_maxsize=PARALLEL)
        self.max_retries = no_retries()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, blocksize=READ_SIZE, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self.opened, loopback=self._loopback)

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        # The proxy connects to the server: which addresses it allows is its own matter.
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _proxied_pool(self.opened)}
        return manager


def _proxied_pool(opened: _Opened) -> type[HTTPConnectionPool]:
    class Proxied(HTTPSConnection):
        response_class = BoundedResponse

        def _new_conn(self) -> Any:
            opened.add(self)
            return super()._new_conn()

    class ProxiedPool(HTTPSConnectionPool):
        ConnectionCls = Proxied

    return ProxiedPool


def _pools(opened: _Opened, *, loopback: bool) -> dict[str, type[HTTPConnectionPool]]:
    """Return the classes of pools whose connections check the address, by scheme."""

    class Plain(HTTPConnection):
        response_class = BoundedResponse

        def _new_conn(self) -> Any:
            opened.add(self)
            return _connect(self, super()._new_conn, loopback=loopback, only_loopback=True)

    class Tls(HTTPSConnection):
        response_class = BoundedResponse

        def _new_conn(self) -> Any:
            opened.add(self)
            return _connect(self, super()._new_conn, loopback=loopback)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


def _connect(connection: HTTPConnection, connect: Any, *, loopback: bool, only_loopback: bool = False) -> Any:
    """Connect to the first address of the host that accepts: the name is resolved once, so the check holds."""
    try:
        addresses = resolve(connection._dns_host, connection.port or 0, loopback=loopback, only_loopback=only_loopback)
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(connection, str(error)) from error
    failure: Exception = NewConnectionError(connection, "it has no address")
    timeout, connection.timeout = connection.timeout, CONNECT_TIMEOUT  # which may be the one for sending
    try:
        for address in addresses:
            connection._dns_host = address
            try:
                connected = connect()
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
            else:
                connected.settimeout(timeout)
                return connected
    finally:
        connection.timeout = timeout
    raise failure


class _WithoutQueries(logging.Filter):
    """Removes the queries of signed URLs from the messages of urllib3, which names each request if it is asked to."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(each) for each in record.args)
        return True


def _without_query(value: object) -> object:
    is_signed = isinstance(value, str) and "x-amz-signature=" in value.lower()
    return f"{str(value).partition('?')[0]}?..." if is_signed else value


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())
