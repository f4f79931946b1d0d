"""The connections of one thread to one daemon, and what the failures of requests and urllib3 are called here.

Importing this imports requests: `http.py` does so when the first request is made.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlencode

import requests
import urllib3

from opstore_cli.config.urls import is_loopback
from opstore_cli.transport.adapter import _Adapter
from opstore_cli.transport.failures import _chain, _root, _words
from opstore_cli.transport.interface import Body, Slice
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol._version import __version__

CONNECT_WITHIN = 5.0  # seconds
ANSWER_WITHIN = 60.0  # seconds without a byte
COMMIT_WITHIN = 300.0  # the same where the daemon writes: it waits for the disk
# Seconds for a piece of a body to leave. It stands for the connect timeout because urllib3 keeps that one while it
# sends; five seconds for a piece of a mebibyte would cut off every line slower than 1.7 Mbit/s.
SEND_WITHIN = 60.0


class _Pieces:
    """A body of which requests can only take what it iterates over, and which may end that by raising."""

    def __init__(self, body: Body, *, slices: bool) -> None:
        self._body, self._slices = body, slices

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes | Slice]:
        return self._body.pieces(slices=self._slices)


class Connections:
    """What one thread has open to a target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.process = os.getpid()
        # What a Session of requests would add is settled here, once: it has neither cookies nor redirects to follow.
        self._adapter = _Adapter(target)
        self._verify = _certificates()
        self._proxies = {} if is_loopback(target.url) else requests.utils.get_environ_proxies(target.url)
        self._headers = {
            "User-Agent": f"opstore/{__version__}",
            "Accept-Encoding": "identity",  # offsets and digests count the bytes themselves
        }
        if target.token is not None:
            self._headers["Authorization"] = f"Bearer {target.token}"
        self._begins: str | None = None

    def close(self) -> None:
        """Closes them; a later request opens new ones."""
        self._adapter.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> "HttpResponse":
        """The answer to a request, whatever its status, its body not yet read."""
        slices = self.target.url.startswith("http:") and not self._proxies
        data: Any = body if body is None or isinstance(body, bytes) else _Pieces(body, slices=slices)
        with self._called_by_our_names():
            prepared = requests.PreparedRequest()
            prepared.prepare_method(method)
            prepared.url = self._url(path, parameters)
            prepared.prepare_headers({**self._headers, **headers})
            prepared.prepare_body(data, None)
            response = self._adapter.send(
                prepared, stream=True, timeout=_within(method, headers), verify=self._verify, proxies=self._proxies
            )
        return HttpResponse(response, self)

    def _url(self, path: str, parameters: Mapping[str, Any]) -> str:
        """The path is in the form of a URL already; the daemon's own URL is brought into it once."""
        if self._begins is None:
            prepared = requests.PreparedRequest()
            prepared.prepare_url(self.target.url, {})
            self._begins = str(prepared.url).rstrip("/")
        asked = urlencode({name: value for name, value in parameters.items() if value is not None}, doseq=True)
        return f"{self._begins}{path}?{asked}" if asked else self._begins + path

    def unreachable(self, reason: str) -> errors.DaemonUnreachable:
        """The error that says that the daemon does not answer here."""
        return errors.DaemonUnreachable(url=self.target.url, reason=reason)

    @contextmanager
    def _called_by_our_names(self) -> Iterator[None]:
        try:
            yield
        except requests.RequestException as failure:
            raise self._named(failure) from failure
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise self._lost(failure) from failure

    def _named(self, failure: requests.RequestException) -> errors.OpStoreError:
        cause = _root(failure)
        if isinstance(failure, requests.exceptions.SSLError):
            return self.unreachable(f"its certificate or its TLS was not accepted: {cause}")
        if isinstance(failure, requests.exceptions.ProxyError):
            return self.unreachable(f"the proxy does not lead there: {_words(cause)}")
        if isinstance(failure, requests.exceptions.ConnectTimeout):
            return self.unreachable("it did not answer in time")
        if isinstance(failure, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
            return errors.InvalidSetting(setting="the URL or the token", reason=str(failure))
        if any(isinstance(link, urllib3.exceptions.NewConnectionError) for link in _chain(failure)):
            return self.unreachable(_words(cause))
        return self._lost(failure)

    def _lost(self, failure: BaseException) -> errors.ConnectionLost:
        return errors.ConnectionLost(url=self.target.url, reason=_words(_root(failure)))


class HttpResponse:
    """An answer whose body is read as it comes (Response)."""

    def __init__(self, response: requests.Response, connections: Connections) -> None:
        self._response = response
        self._connections = connections
        self.status = response.status_code
        self.headers = response.headers

    def read(self, size: int, /) -> bytes:
        """The next bytes; raises ConnectionLost where the body ends early."""
        with self._connections._called_by_our_names():
            return bytes(self._response.raw.read(size, decode_content=False))

    def readinto(self, buffer: memoryview, /) -> int:
        """The same, into a buffer: how many bytes came.

        Past requests and urllib3, which make new memory for each piece and copy it (measured: docs/decisions.md).
        """
        body = getattr(self._response.raw, "_fp", None)
        if not isinstance(body, HTTPResponse):
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        with self._connections._called_by_our_names():
            return body.readinto(buffer)

    def close(self) -> None:
        """The connection is free for another request, if all of this one was read."""
        self._response.close()


def _within(method: str, headers: Mapping[str, str]) -> tuple[float, float]:
    """Seconds for connecting (and for sending a piece), and for each piece of the answer."""
    sends_bytes = headers.get("Content-Type", routes.JSON) != routes.JSON
    return SEND_WITHIN if sends_bytes else CONNECT_WITHIN, ANSWER_WITHIN if method == "GET" else COMMIT_WITHIN


def _certificates() -> str | bool:
    """The bundle of certificates that is trusted: the one that the environment names for requests, or requests' own."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        named = os.environ.get(variable)
        if named:
            if not os.path.exists(named):
                raise errors.InvalidSetting(setting=variable, reason=f"there is no {named}")
            return named
    return True
