"""The conversion of every error into a response: a problem (RFC 9457) or, for a path of the page, a page."""

import logging
import uuid
from http import HTTPStatus

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from opstore_daemon.protocol import errors, limits, records, routes
from opstore_daemon.web.guards import is_page
from opstore_daemon.web.request_log import logged_path

log = logging.getLogger("opstore.error")

ErrorResponse = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body


def error_response(error: errors.OpStoreError, path: str) -> ErrorResponse:
    """Return the response that reports the error to a request for `path`."""
    status, headers, body = _problem(error)
    if not is_page(path):
        return status, headers, body
    try:
        from opstore_daemon.web.page import templating

        page = templating.error_page(error).encode()
    except (ImportError, OSError):  # the program or its templates were replaced: the browser shows the problem itself
        return status, headers, body
    others = [(name, value) for name, value in headers if name != "Content-Type"]
    return status, [*others, *templating.HEADERS.items()], page


def _problem(error: errors.OpStoreError) -> ErrorResponse:
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    body = records.encode(
        records.Problem(
            title=title,
            status=error.status,
            detail=error.text,
            code=error.code,
            hint=error.advice,
            details=error.details,
        )
    )
    headers = [("Content-Type", routes.PROBLEM)]
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    if isinstance(error, errors.RangeNotSatisfiable):
        headers.append(("Content-Range", f"bytes */{error.details['size']}"))
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(error.retry_after)))
    return error.status, headers, body


def to_opstore_error(error: Exception, method: str, path: str) -> errors.OpStoreError:
    """Return the error as one of our family; log an unexpected one under the reference that the response has."""
    match error:
        case errors.OpStoreError():
            return error
        case NotFound():
            return errors.RouteNotFound(path=path[:200])
        case MethodNotAllowed():
            return errors.MethodNotAllowed(method=method, path=path[:200])
        case RequestEntityTooLarge():
            return errors.TooLarge(what="the body", size=0, limit=limits.MAX_JSON)
        case ImportError():
            log.error("%s %s failed: %s; restart the daemon", method, logged_path(path), error, exc_info=error)
            return errors.ProgramReplaced(reason=str(error))
        case HTTPException() if error.code is not None and error.code < 500:
            return errors.InvalidRequest(reason=error.name.lower())
        case _:
            reference = uuid.uuid4().hex[:12]
            log.error("internal error %s in %s %s", reference, method, logged_path(path), exc_info=error)
            return errors.InternalError(reference=reference)
