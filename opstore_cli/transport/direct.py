"""Requests past the daemon: a GET of one URL in the object store, which the daemon has named.

The daemon can have the client do nothing but that (docs/direct.md): the request has no token, no cookies and no
credentials of a netrc file, follows no redirect, and goes to no address that is refused (transport.addresses). The
caller verifies the bytes. The URL is a credential, so it is in no error and in no log.
"""

import logging
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

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
from opstore_cli.transport.connections import CONNECT_TIMEOUT, READ_TIMEOUT, HttpResponse, certificates
from opstore_cli.transport.direct_interface import DirectExpired, DirectFailed
from opstore_cli.transport.failures import causes, translated_errors
from opstore_cli.transport.response import ApiResponse
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.limits import READ_SIZE


class DirectConnections:
    """The connections of one process to the server of one URL. Raises DirectFailed if it may not be requested."""

    def __init__(self, url: str, daemon_url: str) -> None:
        parts = _checked(url, daemon_url)
        self._url, self._origin = url, f"{parts.scheme}://{parts.netloc}"
        self._adapter = _Adapter(loopback=is_loopback(daemon_url))
        self._proxies = {} if is_loopback(self._origin) else requests.utils.get_environ_proxies(self._origin)
        self._verify = certificates()

    @property
    def origin(self) -> str:
        """Scheme and host of the URL, which may be printed."""
        return self._origin

    def get(self, first: int, end: int | None = None) -> ApiResponse:
        """GET the bytes from offset `first` to before `end`; return the response, whose caller closes it.

        Raises DirectExpired if the server refuses the URL, and DirectFailed.
        """
        prepared = requests.PreparedRequest()
        prepared.prepare_method("GET")
        prepared.url = self._url  # as it is: it is signed
        prepared.prepare_headers(
            {
                "User-Agent": f"opstore/{__version__}",
                "Accept-Encoding": "identity",
                "Range": f"bytes={first}-" if end is None else f"bytes={first}-{end - 1}",
            }
        )
        prepared.prepare_body(None, None)
        options: dict[str, Any] = {"verify": self._verify, "proxies": self._proxies}
        failure: errors.OpStoreError | None = None
        try:
            with translated_errors(self._origin):
                response = self._adapter.send(prepared, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), **options)
        except errors.InvalidSetting:
            raise DirectFailed(self._origin, "the URL can't be requested") from None
        except errors.OpStoreError as error:
            failure = error
        if failure is not None:  # outside of the handler: the URL is in the text of what requests has raised
            raise DirectFailed(self._origin, _reason(failure))
        found = HttpResponse(response, self._origin)
        if response.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return ApiResponse(found)
        found.close()
        kind = DirectExpired if response.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST) else DirectFailed
        raise kind(self._origin, f"it answers with HTTP {response.status_code}")

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


def _checked(url: str, daemon_url: str) -> SplitResult:
    """Return the parts of the URL; raise DirectFailed for one that a client must not request."""
    try:
        check_url(url.partition("?")[0], "")
        parts = urlsplit(url)
    except (errors.InvalidSetting, ValueError):
        raise DirectFailed("the object store", "the daemon names no URL") from None
    origin = f"{parts.scheme}://{parts.netloc}"
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


class _Adapter(HTTPAdapter):
    """Sends each request once, to allowed addresses. `loopback`: this machine is one."""

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback
        super().__init__(pool_connections=1, pool_maxsize=1)
        self.max_retries = no_retries()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, blocksize=READ_SIZE, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(loopback=self._loopback)

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        # The proxy connects to the server: which addresses it allows is its own matter.
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _ProxiedPool}
        return manager


class _ProxiedConnection(HTTPSConnection):
    response_class = BoundedResponse


class _ProxiedPool(HTTPSConnectionPool):
    ConnectionCls = _ProxiedConnection


def _pools(*, loopback: bool) -> dict[str, type[HTTPConnectionPool]]:
    """Return the classes of pools whose connections check the address, by scheme."""

    class Plain(HTTPConnection):
        response_class = BoundedResponse

        def _new_conn(self) -> Any:
            return _connect(self, super()._new_conn, loopback=loopback, only_loopback=True)

    class Tls(HTTPSConnection):
        response_class = BoundedResponse

        def _new_conn(self) -> Any:
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
    for address in addresses:
        connection._dns_host = address
        try:
            return connect()
        except (NewConnectionError, ConnectTimeoutError) as error:
            failure = error
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
