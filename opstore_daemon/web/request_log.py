"""The lines that requests leave in the log: who asked, for what, and the status of the response."""

import logging
import re
import uuid

from opstore_daemon.protocol import routes
from opstore_daemon.web.guards import Credential, redacted_path

log = logging.getLogger("opstore.access")

MAX_PATH = 200  # characters of a path in the log
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(requested: str | None) -> str:
    """Return the name of a request in the log: the requested one if it is well-formed, or else a new one."""
    return requested if requested is not None and _REQUEST_ID.fullmatch(requested) else uuid.uuid4().hex[:16]


def logged_path(path: str) -> str:
    """Return the path as the log has it: without a code that starts a session, escaped and shortened."""
    escaped = redacted_path(path)[: MAX_PATH + 1].encode("unicode_escape").decode()
    return escaped if len(escaped) <= MAX_PATH else f"{escaped[:MAX_PATH]}..."


def log_request(
    name: str,
    method: str,
    path: str,
    status: int,
    milliseconds: float = 0.0,
    *,
    peer: str = "",
    credential: Credential | None = None,
) -> None:
    """Log a request. Paths hold names only; headers, which hold tokens, are never logged.

    `peer` is the address of the client. Of a credential the log has the first 8 digits of its owner. The lines of
    requests without one have a `kind`, so that the log can limit them.
    """
    is_frequent = path in (routes.HEALTH, routes.READY)  # clients request a proof at each start
    level = logging.DEBUG if is_frequent else logging.INFO
    who = f"{peer or '-'} {'-' if credential is None else credential.owner[:8]}"
    kind = f"{status} without a token" if credential is None else None
    log.log(
        level,
        "%s %s %s %d %.1f ms %s",
        name,
        method[:20].encode("unicode_escape").decode(),
        logged_path(path),
        status,
        milliseconds,
        who,
        extra={"kind": kind},
    )
