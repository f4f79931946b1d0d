"""Sessions of the web page, each in a cookie; `opstore open` starts one with a code that works once.

A session can only read, and is valid for the page only. It does not contain the token: the browser history and the
process list show at most the code, which is worthless once it is used. A second use of a code ends the session that it
started, because one of the two users must have stolen it (as in RFC 6749, section 4.1.2).

Codes and sessions are in the database, so that each request of a browser may reach another daemon. The database has
the SHA-256 of each secret, never the secret.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Executable, delete, insert, select, update

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import PageCode, PageSession
from opstore_daemon.store.journal import to_microseconds
from opstore_daemon.store.transactions import utc

T = TypeVar("T")

CODE_SECONDS = 60  # for which a code works
SESSION_SECONDS = 12 * 3600  # after which a session expires
MAX_SESSIONS = 64  # of an owner; also of codes: the oldest ones are deleted

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # what token_urlsafe(32) returns


class PageSessions:
    """The sessions and codes of a database. `clock` returns the current time in UTC.

    What deletes rows, and the start of a session, uses the reserve of a full disk: a user can always log out.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc) -> None:
        self._database, self._clock = database, clock

    def _now(self) -> int:
        return to_microseconds(self._clock())

    def invite(self, owner: str) -> str:
        """Return a code that starts one session for the owner, within CODE_SECONDS."""
        code, now = secrets.token_urlsafe(32), self._now()
        row = {"code": fingerprint(code), "owner": owner, "expires_at": now + CODE_SECONDS * 1_000_000}
        with self._database.write(ordered=False) as connection:
            _delete_expired(connection, now)
            _ADD_CODE.run(connection, row)
            _delete_old_codes(MAX_SESSIONS, owner=owner).run(connection)
        return code

    def start(self, code: str) -> str | None:
        """Start a session and return its secret; None for a code that is unknown, expired or used.

        Of two daemons that get a code at the same time, one starts the session, and the other ends it.
        """
        if _SECRET.fullmatch(code) is None:
            return None
        hashed, now = fingerprint(code), self._now()
        if not self._is_code(hashed, now):
            return None  # without a transaction that writes: anybody may ask
        secret = secrets.token_urlsafe(32)

        def work(connection: Connection) -> str | None:
            owner = _use_code(hashed=hashed, now=now, started=fingerprint(secret)).run(connection).scalar()
            if owner is None:
                _delete_started(hashed=hashed).run(connection)
                return None
            expires_at = now + SESSION_SECONDS * 1_000_000
            _ADD_SESSION.run(connection, {"session": fingerprint(secret), "owner": owner, "expires_at": expires_at})
            _delete_old_sessions(MAX_SESSIONS, owner=owner).run(connection)
            return secret

        return self._write(work)

    def _is_code(self, hashed: str, now: int) -> bool:
        with self._database.read() as connection:
            return _code(hashed=hashed, now=now).run(connection).first() is not None

    def owner(self, secret: str) -> str | None:
        """Return the owner of the session with this secret; None if there is none."""
        if _SECRET.fullmatch(secret) is None:
            return None
        with self._database.read() as connection:
            owner: str | None = _session(hashed=fingerprint(secret), now=self._now()).run(connection).scalar()
        return owner

    def end(self, secret: str) -> None:
        """End the session with this secret."""
        ended = _delete_session(hashed=fingerprint(secret))
        self._write(ended.run)

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Do the work in a transaction that may use the reserve of a full disk. It needs no order with others."""

        def write() -> T:
            with self._database.write(ordered=False) as connection:
                return work(connection)

        return self._database.spend_on(write)

    def end_all(self, owner: str) -> None:
        """End every session of the owner, and invalidate the owner's codes."""

        def work(connection: Connection) -> None:
            for table in (PageCode, PageSession):
                connection.execute(delete(table).where(table.owner == owner))

        self._write(work)


def _delete_expired(connection: Connection, now: int) -> None:
    for table in (PageCode, PageSession):
        connection.execute(delete(table).where(table.expires_at <= now))


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a secret, in hex: the duration of a lookup by it reveals nothing about the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


_ADD_CODE = Statement(insert(PageCode))
_ADD_SESSION = Statement(insert(PageSession))


@prepared
def _code(*, hashed: str, now: int) -> Executable:
    return select(PageCode.code).where(PageCode.code == hashed, PageCode.expires_at > now)


@prepared
def _use_code(*, hashed: str, now: int, started: str) -> Executable:
    """Select the owner of a code that nobody has used, which is used from then on."""
    unused = (PageCode.code == hashed, PageCode.expires_at > now, PageCode.session.is_(None))
    return update(PageCode).where(*unused).values(session=started).returning(PageCode.owner)


@prepared
def _delete_started(*, hashed: str) -> Executable:
    started = select(PageCode.session).where(PageCode.code == hashed).scalar_subquery()
    return delete(PageSession).where(PageSession.session == started)


@prepared
def _delete_old_codes(most: int, *, owner: str) -> Executable:
    owned = select(PageCode.code).where(PageCode.owner == owner)
    older = owned.order_by(PageCode.expires_at.desc(), PageCode.code).offset(most)
    return delete(PageCode).where(PageCode.code.in_(older))


@prepared
def _delete_old_sessions(most: int, *, owner: str) -> Executable:
    owned = select(PageSession.session).where(PageSession.owner == owner)
    older = owned.order_by(PageSession.expires_at.desc(), PageSession.session).offset(most)
    return delete(PageSession).where(PageSession.session.in_(older))


@prepared
def _session(*, hashed: str, now: int) -> Executable:
    return select(PageSession.owner).where(PageSession.session == hashed, PageSession.expires_at > now)


@prepared
def _delete_session(*, hashed: str) -> Executable:
    return delete(PageSession).where(PageSession.session == hashed)
