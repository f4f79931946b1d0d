"""The failures of requests, urllib3 and the operating system, as errors of opstore."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

from opstore_cli.local.bounded_response import NotHttp
from opstore_cli.local.proof import DaemonAbsent
from opstore_cli.transport.interface import DAEMON_LOST, UNKNOWN_HOST
from opstore_cli.transport.probe import HandshakeFailed
from opstore_daemon.protocol import errors

# The first row that matches the failure or one of its causes applies. If none does, the error is ConnectionLost.
UNREACHABLE: tuple[tuple[type[BaseException], str], ...] = (
    (DaemonAbsent, DAEMON_LOST + " ({reason})"),
    (requests.exceptions.ProxyError, "the proxy can't be used: {reason}"),
    (requests.exceptions.ConnectTimeout, "no connection within the timeout"),
    (urllib3.exceptions.NewConnectionError, "{reason}"),
)
TUNNEL_REFUSED = "Tunnel connection failed: "  # how http.client begins the OSError for a proxy that refuses CONNECT

# By the codes of OpenSSL (X509_verify_cert_error_string(3)).
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Raise errors of opstore in place of those of requests, urllib3, http.client and the operating system."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as failure:
        raise to_opstore_error(failure, url) from failure


def to_opstore_error(failure: BaseException, url: str) -> errors.OpStoreError:
    """Return the error for `failure`, which occurred in a request to the daemon at `url`.

    DaemonUnreachable if there was no connection or the server speaks another protocol, TlsRequired if that is TLS,
    ConnectionLost if it ended early, InvalidSetting for a URL or token that can't be sent.
    """
    links = list(causes(failure))
    cause = links[-1]
    if isinstance(failure, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
        return errors.InvalidSetting(setting="the URL, the token or the proxy", reason=str(failure))
    for link in links:
        if isinstance(link, HandshakeFailed):
            return _tls_failed(link, url)
        if isinstance(link, NotHttp):
            return tls_required(url) if link.is_tls else errors.DaemonUnreachable(url=url, reason=str(link))
        if (refusal := _refusal_of_proxy(link)) is not None:
            return errors.DaemonUnreachable(url=url, reason=f"the proxy refuses the connection: {refusal}")
    for kind, text in UNREACHABLE:
        if any(isinstance(link, kind) for link in links):
            return errors.DaemonUnreachable(url=url, reason=text.format(reason=reason(cause)))
    return errors.ConnectionLost(url=url, reason=reason(cause))


def is_final(failure: BaseException) -> bool:
    """Return whether the next request would fail in the same way: TLS that failed, a proxy that refuses, no HTTP."""
    kinds = HandshakeFailed | NotHttp
    return any(isinstance(link, kinds) or _refusal_of_proxy(link) is not None for link in causes(failure))


def tls_required(url: str) -> errors.TlsRequired:
    """Return the error for a server at an `http://` URL that speaks TLS."""
    return errors.TlsRequired(url=url, secure=url.replace("http:", "https:", 1))


def _refusal_of_proxy(link: BaseException) -> str | None:
    """Return the status of a proxy that refuses to connect to the daemon."""
    text = str(link)
    return text.removeprefix(TUNNEL_REFUSED)[:200] if text.startswith(TUNNEL_REFUSED) else None


def _tls_failed(link: HandshakeFailed, url: str) -> errors.TlsFailed:
    failure = link.failure
    if link.plain:
        advice = f"try {url.replace('https:', 'http:', 1)}, if its daemon has no TLS"
        return errors.TlsFailed(url=url, reason="the server does not speak TLS", advice=advice)
    if isinstance(failure, ssl.SSLCertVerificationError):
        advice = {
            _EXPIRED: "renew the certificate there, or set this machine's clock if it is wrong",
            _NOT_YET_VALID: "set this machine's clock if it is wrong",
            _OTHER_HOST: "use the name that the certificate is for",
            _OTHER_ADDRESS: "use the name that the certificate is for",
        }.get(failure.verify_code, "set REQUESTS_CA_BUNDLE to a file of the certificates to trust")
        return errors.TlsFailed(url=url, reason=f"its certificate is refused: {failure.verify_message}", advice=advice)
    return errors.TlsFailed(url=url, reason=reason(failure), advice="opstore doctor, or ask who runs that server")


def causes(failure: BaseException) -> Iterator[BaseException]:
    """Yield the failure and its causes, the root cause last.

    requests and urllib3 keep a cause as `__cause__`, as `reason` or among the arguments.
    """
    seen: list[BaseException] = []
    waiting: list[Any] = [failure]
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException) and link not in seen:
            seen.append(link)
            yield link
            waiting += [link.__cause__, getattr(link, "reason", None), *link.args]


def reason(cause: BaseException) -> str:
    """Return a short, readable reason: the messages of requests and urllib3 contain object addresses."""
    if isinstance(cause, socket.gaierror):
        missing = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
        return UNKNOWN_HOST if cause.errno in missing else f"the host name can't be resolved: {_words(cause)}"
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return "no response within the timeout"
    if isinstance(cause, ssl.SSLError) and (name := getattr(cause, "reason", None)):
        return f"TLS: {name.replace('_', ' ').lower()}"
    if isinstance(cause, OSError) and _words(cause):
        return _words(cause)
    return "the response ended early"


def _words(error: OSError) -> str:
    words = error.strerror or ("" if isinstance(error, http.client.RemoteDisconnected) else str(error))
    return (words[:1].lower() if words[1:2].islower() else words[:1]) + words[1:200]
