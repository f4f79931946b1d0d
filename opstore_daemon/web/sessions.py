"""Sessions of the web page, each in a cookie; `opstore open` starts one with a code that works once.

A session can only read, is valid for the page only, ends with the daemon, and is never written to a disk. It does not
contain the token: the browser history and the process list show at most the code, which is worthless once it is used.
A second use of a code ends the session that it started, because one of the two users must have stolen it (as in
RFC 6749, section 4.1.2).
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

T = TypeVar("T")

CODE_SECONDS = 60  # for which a code works
MAX_SESSIONS = 64  # also of codes: the oldest ones are dropped


@dataclass(slots=True)
class _Code:
    owner: str
    expires: float
    session: str | None = None  # the fingerprint of the session that it started


class Sessions:
    """All sessions and codes. `clock` returns seconds since any fixed time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._codes: dict[str, _Code] = {}
        self._owners: dict[str, str] = {}  # of sessions, by the fingerprints of their secrets

    def invite(self, owner: str) -> str:
        """Return a code that starts one session for the owner, within CODE_SECONDS."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._drop_expired()
            _add(self._codes, fingerprint(code), _Code(owner, self._clock() + CODE_SECONDS))
        return code

    def start(self, code: str) -> str | None:
        """Start a session and return its secret; None for a code that is unknown, expired or used."""
        with self._lock:
            self._drop_expired()
            found = self._codes.get(fingerprint(code))
            if found is None:
                return None
            if found.session is not None:
                self._owners.pop(found.session, None)
                return None
            secret = secrets.token_urlsafe(32)
            found.session = fingerprint(secret)
            _add(self._owners, found.session, found.owner)
            return secret

    def owner(self, secret: str) -> str | None:
        """Return the owner of the session with this secret; None if there is none."""
        with self._lock:
            return self._owners.get(fingerprint(secret))

    def end(self, secret: str) -> None:
        """End the session with this secret."""
        with self._lock:
            self._owners.pop(fingerprint(secret), None)

    def end_all(self, owner: str) -> None:
        """End every session of the owner, and invalidate the owner's codes."""
        with self._lock:
            self._codes = {key: code for key, code in self._codes.items() if code.owner != owner}
            self._owners = {key: other for key, other in self._owners.items() if other != owner}

    def _drop_expired(self) -> None:
        now = self._clock()
        self._codes = {key: code for key, code in self._codes.items() if code.expires > now}


def _add(entries: dict[str, T], key: str, value: T) -> None:
    entries[key] = value
    while len(entries) > MAX_SESSIONS:
        del entries[next(iter(entries))]


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a secret, in hex: the duration of a lookup by it reveals nothing about the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
