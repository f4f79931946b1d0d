"""Translate the failures of PostgreSQL into errors, by SQLSTATE (appendix A of its documentation).

What the server says is kept, apart from details that quote values. A failure without an SQLSTATE is one of the
connection.
"""

import re
from typing import Any

from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.url import invalid
from opstore_daemon.protocol import errors

WAIT = 30  # seconds for the order of commits, another lock, or a connection
STATEMENT = 60  # seconds for a statement, except those that may take long
IDLE = 60  # seconds that a daemon may do something else in the middle of a transaction

_POOLER = (
    "a pooler between opstore and PostgreSQL mixes up prepared statements: with PgBouncer, set max_prepared_statements "
    "(1.22 and later) or append ?prepare_threshold=none to the URL"
)
_WORDS = {
    "53100": "a disk of the PostgreSQL server is full",
    "53200": "the PostgreSQL server is out of memory",
    "53300": "the PostgreSQL server has no connection left for this daemon: see max_connections and pool_size",
    "53400": "a limit in the configuration of PostgreSQL is reached",
    "55P03": f"a lock was not free within {WAIT} seconds: somebody else holds it",
    "57014": f"a statement was cancelled, or took longer than {STATEMENT} seconds",
    "57P01": "the PostgreSQL server is shutting down",
    "57P02": "the PostgreSQL server is restarting after a crash",
    "57P03": "the PostgreSQL server is starting or shutting down",
    "25P02": "an earlier statement of the transaction failed",
    "25P03": f"a transaction was idle for more than {IDLE} seconds",
    "25006": "the database is read-only: it is a standby server, or default_transaction_read_only is on",
    "26000": _POOLER,
    "42P05": _POOLER,
    "28000": "PostgreSQL refuses the user",
    "28P01": "PostgreSQL refuses the user or the password",
    "3D000": "there is no such database: create it first, as with createdb",
    "42501": "the user has no right to do that in the database",
    "42P01": "a table of the store is missing",
    "40001": "transactions got in each other's way",
    "40P01": "transactions waited for each other",
    "58030": "a disk of the PostgreSQL server failed",
    "XX001": "the database is damaged",
    "XX002": "an index of the database is damaged: see REINDEX and amcheck in the documentation of PostgreSQL",
}
_FULL, _TOO_LARGE = "53100", "22003"
_DAMAGE = {"XX001", "XX002"}
_CONSTRAINT = "23"  # a class
_CONNECT = "check that the server runs, the URL of the database, and the password (PGPASSWORD or ~/.pgpass)"
# What libpq and psycopg report of an option in the URL before they connect, without an SQLSTATE.
_OPTION = re.compile(
    r"invalid (connection option|port number|integer value|\"?\w+\"? value:|value \".*\" for m\w+imum SSL)"
    r"|bad value for|weak sslmode|invalid SSL protocol version range"
)


def to_opstore_error(error: DBAPIError, otherwise: type[errors.OpStoreError]) -> errors.OpStoreError:
    """Return the error of ours for a failure; `otherwise` if the connection broke, DatabaseFailed if it did not."""
    failure = error.orig
    state = state_of(failure)
    said = _said(failure)
    if state is None and _is_refused_text(failure):
        return errors.InvalidRequest(reason="text contains the character NUL, which the database can't store")
    if state is None and error.statement is None and _OPTION.search(said):
        return invalid(said.removeprefix("connection is bad: "))
    if state == _TOO_LARGE:
        return errors.InvalidRequest(reason=f"a number is too large for the database ({said})")
    if state == _FULL:
        return errors.StorageFull(reason=_reason(state, said))
    if state is not None and state.startswith(_CONSTRAINT):
        # The store checks the rules under the lock before it inserts: a constraint that fires anyway is a bug, or
        # another program wrote to the database.
        return errors.DatabaseFailed(reason=f"a constraint was violated: {said}")
    if state is not None and not error.connection_invalidated:
        return errors.DatabaseFailed(reason=_reason(state, said))
    found = otherwise(reason=_reason(state, said))
    if error.statement is None and not error.connection_invalidated:
        found.advice = _CONNECT
    return found


def is_damage(failure: BaseException | None) -> bool:
    """Return whether it is PostgreSQL's word for content that can't be right."""
    return state_of(failure) in _DAMAGE


def state_of(failure: BaseException | None) -> str | None:
    """Return the SQLSTATE of a failure; None if the server did not report it."""
    return getattr(failure, "sqlstate", None)


def _reason(state: str | None, said: str) -> str:
    words = _WORDS.get(state or "")
    return said if words is None else f"{words} ({said})"


def _said(failure: Any) -> str:
    """Return what the server or the driver says, as one line. The details of the server quote values: not those."""
    primary = getattr(getattr(failure, "diag", None), "message_primary", None)
    text = primary or str(failure)
    return " ".join(text.split())[:500]


def _is_refused_text(failure: Any) -> bool:
    # psycopg refuses it before the server does, and has no SQLSTATE for it.
    return type(failure).__name__ == "DataError" and "NUL" in str(failure)
