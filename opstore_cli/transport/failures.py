"""The failures of requests, urllib3 and the operating system, as errors of opstore."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

from opstore_cli.transport.interface import UNKNOWN_HOST
from opstore_daemon.protocol import errors

# The first row that matches the failure or one of its causes applies. If none does, the error is ConnectionLost.
UNREACHABLE: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.SSLError, "TLS failed: {cause}"),
    (requests.exceptions.ProxyError, "the proxy failed: {reason}"),
    (requests.exceptions.ConnectTimeout, "{reason}"),
    (urllib3.exceptions.NewConnectionError, "{reason}"),
)


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Raise errors of opstore in place of those of requests, urllib3 and the operating system."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as failure:
        raise to_opstore_error(failure, url) from failure


def to_opstore_error(failure: BaseException, url: str) -> errors.OpStoreError:
    """Return the error for `failure`, which occurred in a request to the daemon at `url`.

    DaemonUnreachable if there was no connection, ConnectionLost if it ended early, InvalidSetting for a URL or token
    that can't be sent.
    """
    if isinstance(failure, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
        return errors.InvalidSetting(setting="the URL or the token", reason=str(failure))
    links = list(causes(failure))
    cause = links[-1]
    for kind, text in UNREACHABLE:
        if any(isinstance(link, kind) for link in links):
            return errors.DaemonUnreachable(url=url, reason=text.format(cause=cause, reason=reason(cause)))
    return errors.ConnectionLost(url=url, reason=reason(cause))


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
        return UNKNOWN_HOST
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return "no response within the timeout"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror[:1].lower() + cause.strerror[1:]
    return "the response ended early"
