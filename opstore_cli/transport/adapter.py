"""requests' adapter, subclassed: retries, proof of the daemon, and files sent by the kernel."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util.retry import Retry

from opstore_cli.local.proof import knows_token
from opstore_cli.transport.interface import may_be_repeated
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system.loopback import without_pacing

TRIES = 5
CONNECT_TRIES = 3  # of them, those that may be spent on getting no connection, each up to its timeout
BACKOFF, JITTER = 0.1, 0.1  # seconds: waits of 0, 0.2, 0.4 and 0.8, each with up to the jitter more
LONGEST_RETRY_AFTER = 10.0  # seconds, whatever the other end asks for


class _Retries(Retry):
    """When a request is sent again. It was checked before that it may be: by its method or its key."""

    RETRY_AFTER_STATUS_CODES = frozenset([HTTPStatus.SERVICE_UNAVAILABLE])

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_RETRY_AFTER)


def _retries(connect: int) -> _Retries:
    return _Retries(
        total=TRIES - 1,
        connect=connect,
        redirect=0,
        allowed_methods=None,
        status_forcelist=[HTTPStatus.SERVICE_UNAVAILABLE],
        backoff_factor=BACKOFF,
        backoff_jitter=JITTER,
        raise_on_status=False,
    )


class _Adapter(HTTPAdapter):
    """Sends large bodies in large pieces, and again only what may be sent again."""

    def __init__(self, target: Target) -> None:
        self._target = target
        # A local daemon that is gone is looked for anew at once, by whoever holds the target.
        self._again = _retries(connect=0 if target.local_daemon is not None else CONNECT_TRIES - 1)
        self._once = Retry(0, read=False, redirect=0, raise_on_status=False)
        super().__init__(pool_connections=2, pool_maxsize=2)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, blocksize=READ_SIZE, **options)
        classes = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {**classes, "http": _pool(self._target)}

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        # One thread owns this adapter, so the setting belongs to this request.
        repeatable = may_be_repeated(request.method or "", request.headers)
        self.max_retries = self._again if repeatable else self._once
        return super().send(request, *arguments, **options)


class _Connection(HTTPConnection):
    """A connection without TLS, by which the system sends parts of files by itself."""

    def connect(self) -> None:
        super().connect()
        if self.sock is not None:
            without_pacing(self.sock)

    def send(self, data: Any) -> None:
        if isinstance(data, bytes | bytearray | memoryview) or self.sock is None:
            super().send(data)
        else:
            data.send_to(self.sock)


def _pool(target: Target) -> type[HTTPConnectionPool]:
    """Connections; where there is a secret, the other end proves that it knows it before anything else is sent."""
    prefix = urlsplit(target.url).path

    class ProvingConnection(_Connection):
        def connect(self) -> None:
            super().connect()
            sock, secret = self.sock, target.secret
            if secret is not None and (sock is None or not knows_token(sock, secret, prefix)):
                self.close()
                raise errors.ProofFailed(url=target.url)

    class ProvingPool(HTTPConnectionPool):
        ConnectionCls = ProvingConnection

    return ProvingPool
