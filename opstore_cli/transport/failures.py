"""Failures of requests, urllib3 and the operating system, as errors of opstore."""

import socket
from collections.abc import Iterator
from typing import Any

import urllib3


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """The failure and what it came from: requests and urllib3 keep that in `reason` or in the arguments."""
    seen: list[BaseException] = []
    waiting: list[Any] = [failure]
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException) and link not in seen:
            seen.append(link)
            yield link
            waiting += [link.__cause__, getattr(link, "reason", None), *link.args]


def _root(failure: BaseException) -> BaseException:
    return list(_chain(failure))[-1]


def _words(cause: BaseException) -> str:
    """A short reason for people: requests and urllib3 put object addresses into theirs."""
    if isinstance(cause, socket.gaierror):
        return "its name is not known"
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return "it did not answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror[:1].lower() + cause.strerror[1:]
    return "the answer broke off"
