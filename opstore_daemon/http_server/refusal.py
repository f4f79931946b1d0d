"""The response to a request that is refused before the application runs."""

import uuid
from typing import Self

from waitress.utilities import Error as WaitressError

from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.web.app import HEADERS
from opstore_daemon.web.errors import error_response


class Refusal:
    """An error in the form of waitress' own `Error`; waitress sends it and then closes the connection.

    The parser sets `request_id` and `path` when it knows them.
    """

    request_id = path = ""

    def __init__(self, error: errors.OpStoreError) -> None:
        self.error = error

    @classmethod
    def from_waitress(cls, error: WaitressError) -> Self:
        """Return the refusal for an error that waitress detected."""
        by_status: dict[int, errors.OpStoreError] = {
            413: errors.TooLarge(what="the body", size=0, limit=limits.MAX_JSON),
            431: errors.HeadersTooLarge(limit=limits.MAX_HEADERS),
            500: errors.InternalError(reference=uuid.uuid4().hex[:12]),
            501: errors.AmbiguousFraming(reason="the only Transfer-Encoding supported is chunked"),
        }
        return cls(by_status.get(error.code, errors.InvalidRequest(reason=str(error.body)[:200])))

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return the status line, headers and body that waitress sends."""
        status, headers, body = error_response(self.error, self.path)
        headers_by_name = {**HEADERS, **dict(headers), routes.REQUEST_ID: self.request_id}
        return f"{status} Refused", list(headers_by_name.items()), body
