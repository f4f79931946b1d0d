"""Where a session begins and ends."""

from typing import Annotated

from flask import Response, request
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import Api, ResponseSpec, Route, route
from opstore_daemon.web.guards import LOOPBACK, is_page, session_cookie
from opstore_daemon.web.page import templating

ROUTES: list[Route] = []


class To(Query, frozen=True, kw_only=True):
    """Where to go on."""

    to: Annotated[str, Meta(description="The path of the page to begin with.")] = routes.HOME


@route(ROUTES, "GET", routes.SIGN_IN, scope=None, responses={303: ResponseSpec(None, "To the page, with a session.")})
def begin(api: Api, code: str, query: To) -> Response:
    """Begins a session, and goes on to the page."""
    # Whoever only looks whether the address is there must not use up the code.
    secret = api.guards.sessions.begin(code) if request.method == "GET" else None
    if secret is None:
        raise errors.SessionRequired
    response = _go_to(query.to if is_page(query.to) and query.to.isprintable() else routes.HOME)
    response.set_cookie(_cookie(), secret, httponly=True, samesite="Strict", secure=not _on_loopback())
    return response


@route(ROUTES, "POST", routes.SIGN_OUT, scope="read", responses={200: ResponseSpec(templating.TYPE, "It is over.")})
def end(api: Api) -> Response:
    """Ends the session."""
    api.guards.sessions.end(request.cookies.get(_cookie(), ""))
    response = Response(templating.render("goodbye.html", as_of=None, signed_in=False), headers=templating.HEADERS)
    response.delete_cookie(_cookie(), httponly=True, samesite="Strict", secure=not _on_loopback())
    return response


def _go_to(path: str) -> Response:
    response = Response(status=303, headers=templating.HEADERS)
    response.autocorrect_location_header = False
    response.headers["Location"] = path
    return response


def _cookie() -> str:
    return session_cookie(int(request.environ.get("SERVER_PORT") or 0))


def _on_loopback() -> bool:
    # Over plain HTTP no cookie that is secure is kept; beyond this machine there is no plain HTTP (CONTRACT section 7).
    return request.host.rpartition(":")[0] in LOOPBACK or request.host in LOOPBACK
