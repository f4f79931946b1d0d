"""The one place that turns an error into an answer: application/problem+json, whatever failed."""

import logging
import uuid
from http import HTTPStatus

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from opstore_daemon.protocol import errors, limits, records, routes

log = logging.getLogger("opstore.error")


def problem(error: errors.OpStoreError) -> tuple[int, list[tuple[str, str]], bytes]:
    """The status, the headers and the body that tell of the error."""
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
        headers.append(("Retry-After", "1"))
    return error.status, headers, body


def understood(error: Exception, method: str, path: str) -> errors.OpStoreError:
    """The error as one of our family; what nobody foresaw is logged, under the reference that is told."""
    match error:
        case errors.OpStoreError():
            return error
        case NotFound():
            return errors.RouteNotFound(path=path[:200])
        case MethodNotAllowed():
            return errors.MethodNotAllowed(method=method, path=path[:200])
        case RequestEntityTooLarge():
            return errors.TooLarge(what="the body", size=0, limit=limits.MAX_JSON)
        case HTTPException() if error.code is not None and error.code < 500:
            return errors.InvalidRequest(reason=error.name.lower())
        case _:
            reference = uuid.uuid4().hex[:12]
            log.error("internal error %s in %s %s", reference, method, path, exc_info=error)
            return errors.InternalError(reference=reference)
