"""Start and end a session in the browser."""

from typing import Annotated

from flask import Response, request
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import Api
from opstore_daemon.web.guards import LOOPBACK, is_page, session_cookie
from opstore_daemon.web.page import templating


class SignInQuery(Query, frozen=True, kw_only=True):
    """Where to go after the start of the session."""

    to: Annotated[str, Meta(description="The path of the first page.")] = routes.HOME


def start(api: Api, code: str, query: SignInQuery) -> Response:
    """Start a session and redirect to the first page."""
    # A HEAD, of a program that checks whether the link works, must not use up the code.
    secret = api.guards.sessions.start(code) if request.method == "GET" else None
    if secret is None:
        raise errors.SessionRequired
    response = _redirect(query.to if is_page(query.to) and query.to.isprintable() else routes.HOME)
    response.set_cookie(_cookie(), secret, httponly=True, samesite="Strict", secure=not _is_on_loopback())
    return response


def end(api: Api) -> Response:
    """End the session."""
    api.guards.sessions.end(request.cookies.get(_cookie(), ""))
    response = Response(templating.outside("goodbye.html", signed_in=False), headers=templating.HEADERS)
    response.delete_cookie(_cookie(), httponly=True, samesite="Strict", secure=not _is_on_loopback())
    return response


def _redirect(path: str) -> Response:
    response = Response(status=303, headers=templating.HEADERS)
    response.autocorrect_location_header = False
    response.headers["Location"] = path
    return response


def _cookie() -> str:
    return session_cookie(request.host)


def _is_on_loopback() -> bool:
    # Browsers drop a secure cookie that comes over plain HTTP; only loopback is served over plain HTTP.
    return request.host.rpartition(":")[0] in LOOPBACK or request.host in LOOPBACK
