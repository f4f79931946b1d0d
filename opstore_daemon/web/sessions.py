"""Who may look at the page: a session, in a cookie, which `opstore open` begins by a code that works once.

A session reads and no more, counts for the page alone, and ends with the daemon. Nothing of it is on a disk. The token
is in none of it: the browser's history and another user's list of processes see the code at most, which is dead as soon
as it was used. Used a second time, it ends the session that it began: one of the two who had it should not have had it
(RFC 6749, section 4.1.2, has the same for its codes).
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

T = TypeVar("T")

CODE_SECONDS = 60  # that a code works
MOST = 64  # sessions, and codes, at once: the oldest give way


@dataclass(slots=True)
class _Code:
    owner: str
    until: float
    session: str | None = None  # the fingerprint of the session that it began


class Sessions:
    """The sessions there are. `clock` gives seconds, from anywhere."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._codes: dict[str, _Code] = {}
        self._owners: dict[str, str] = {}  # of sessions

    def invite(self, owner: str) -> str:
        """A code that begins one session for the owner, within a minute."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_old()
            _keep(self._codes, fingerprint(code), _Code(owner, self._clock() + CODE_SECONDS))
        return code

    def begin(self, code: str) -> str | None:
        """The secret of a new session; None for a code that is unknown, too old, or was used."""
        with self._lock:
            self._forget_old()
            found = self._codes.get(fingerprint(code))
            if found is None:
                return None
            if found.session is not None:
                self._owners.pop(found.session, None)
                return None
            secret = secrets.token_urlsafe(32)
            found.session = fingerprint(secret)
            _keep(self._owners, found.session, found.owner)
            return secret

    def owner(self, secret: str) -> str | None:
        """Who began the session of that secret; None where there is none."""
        with self._lock:
            return self._owners.get(fingerprint(secret))

    def end(self, secret: str) -> None:
        """Ends that session."""
        with self._lock:
            self._owners.pop(fingerprint(secret), None)

    def end_all(self, owner: str) -> None:
        """Ends every session of the owner, and every code that would begin one."""
        with self._lock:
            self._codes = {key: code for key, code in self._codes.items() if code.owner != owner}
            self._owners = {key: other for key, other in self._owners.items() if other != owner}

    def _forget_old(self) -> None:
        now = self._clock()
        self._codes = {key: code for key, code in self._codes.items() if code.until > now}


def _keep(kept: dict[str, T], key: str, value: T) -> None:
    kept[key] = value
    while len(kept) > MOST:
        del kept[next(iter(kept))]


def fingerprint(secret: str) -> str:
    """What a secret is looked up by: so how long that takes tells nothing of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
