"""HTTP connections to one daemon, by requests. `http.py` imports this module with the first request."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPResponse as StdlibResponse
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from opstore_cli.config.urls import PORTS, is_loopback
from opstore_cli.transport.adapter import DaemonAdapter, FileBody, Slice, no_retries, retries_of
from opstore_cli.transport.failures import tls_required, translated_errors
from opstore_cli.transport.interface import Body, is_repeatable
from opstore_cli.transport.probe import speaks_tls
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol._version import __version__

CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 60.0  # seconds without a byte
COMMIT_TIMEOUT = 300.0  # seconds without a byte while the daemon writes: it waits for the disk
# Seconds to send one piece of a body. It replaces the connect timeout, which urllib3 applies to sending too: with five
# seconds per mebibyte, every upload over a line slower than 1.7 Mbit/s would fail.
SEND_TIMEOUT = 60.0


class Connections:
    """The connections of one process to a target, for use from any thread."""

    def __init__(self, target: Target) -> None:
        """Read the proxies and the certificate bundle from the environment.

        Raises InvalidSetting if the bundle does not exist.
        """
        self.target = target
        # Adapters without a Session of requests, which would merge settings and cookies into each request: 0.2 ms.
        self._repeatable = DaemonAdapter(target, retries_of(target))
        self._once = DaemonAdapter(target, no_retries(), share=self._repeatable)
        self._verify = certificates()
        self._proxies = {} if is_loopback(target.url) else requests.utils.get_environ_proxies(target.url)
        self._headers = {
            "User-Agent": f"opstore/{__version__}",
            "Accept-Encoding": "identity",  # offsets and digests count the bytes themselves
        }
        if target.token is not None:
            self._headers["Authorization"] = f"Bearer {target.token}"
        self._base_url: str | None = None
        self._answered = False  # the server has responded to a request

    def close(self) -> None:
        """Close all idle connections. A later request opens new ones."""
        self._once.close()
        self._repeatable.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> "HttpResponse":
        """Send a request as `Transport.request` does. The body of the response is not read yet."""
        slices = self.target.url.startswith("http:") and not self._proxies
        data: Any = body if body is None or isinstance(body, bytes) else Pieces(body, slices=slices)
        with self._noticing_tls(), translated_errors(self.target.url):
            prepared = requests.PreparedRequest()
            prepared.prepare_method(method)
            prepared.url = self._url(path, parameters)
            prepared.prepare_headers({**self._headers, **headers})
            prepared.prepare_body(data, None)
            adapter = self._repeatable if is_repeatable(method, headers) else self._once
            response = adapter.send(
                prepared, stream=True, timeout=_timeouts(method, headers), verify=self._verify, proxies=self._proxies
            )
            if response.status_code == HTTPStatus.BAD_REQUEST:
                try:
                    self._check_for_tls()  # what nginx and Go respond to plain HTTP
                except errors.TlsRequired:
                    response.close()
                    raise
        self._answered = True
        return HttpResponse(response, self.target.url)

    @contextmanager
    def _noticing_tls(self) -> Iterator[None]:
        """Raise TlsRequired in place of ConnectionLost or ProofFailed if the server at an http:// URL requires TLS."""
        try:
            yield
        except (errors.ConnectionLost, errors.ProofFailed):
            self._check_for_tls()
            raise

    def _check_for_tls(self) -> None:
        """Raise TlsRequired if the server speaks TLS at the http:// URL; no question for one that has responded."""
        url = urlsplit(self.target.url)
        may_probe = url.scheme == "http" and not (self._answered or self._proxies or self.target.local_daemon)
        if may_probe and speaks_tls(url.hostname or "", url.port or PORTS["http"]):
            raise tls_required(self.target.url) from None

    def _url(self, path: str, parameters: Mapping[str, Any]) -> str:
        # requests normalizes the daemon's own URL, once; a path is normalized already.
        if self._base_url is None:
            prepared = requests.PreparedRequest()
            prepared.prepare_url(self.target.url, {})
            self._base_url = str(prepared.url).rstrip("/")
        query = urlencode({name: value for name, value in parameters.items() if value is not None}, doseq=True)
        return f"{self._base_url}{path}?{query}" if query else self._base_url + path


class HttpResponse:
    """A response whose body is read as it arrives (`interface.Response`)."""

    def __init__(self, response: requests.Response, url: str) -> None:
        self._response = response
        self._url = url
        self.status = response.status_code
        self.headers = response.headers

    def read(self, size: int, /) -> bytes:
        """Return the next bytes of the body. Raises ConnectionLost if it ends early."""
        with translated_errors(self._url):
            return bytes(self._response.raw.read(size, decode_content=False) or b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Read the next bytes of the body into the buffer and return how many, 0 at its end.

        It bypasses requests and urllib3, which allocate and copy each piece. Raises ConnectionLost if the body ends
        early.
        """
        body = getattr(self._response.raw, "_fp", None)
        if not isinstance(body, StdlibResponse):
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        with translated_errors(self._url):
            return body.readinto(buffer)

    def close(self) -> None:
        """Release the connection, which is reused if the whole body was read."""
        self._response.close()


class Pieces:
    """A body as requests sends it: without `read`, so that it is iterated over and may raise."""

    def __init__(self, body: Body, *, slices: bool) -> None:
        self._body, self._slices = body, slices

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes | Slice]:
        return self._body.pieces(slices=self._slices) if isinstance(self._body, FileBody) else iter(self._body)


def _timeouts(method: str, headers: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds to connect (and to send a piece), and those to wait for each piece of the response."""
    sends_bytes = headers.get("Content-Type", routes.JSON) != routes.JSON
    return SEND_TIMEOUT if sends_bytes else CONNECT_TIMEOUT, READ_TIMEOUT if method == "GET" else COMMIT_TIMEOUT


def certificates() -> str | bool:
    """Return the certificate bundle that the environment names for requests, or True for the default one."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = os.environ.get(variable)
        if path:
            if not os.path.exists(path):
                raise errors.InvalidSetting(setting=variable, reason=f"{path} does not exist")
            return path
    return True
