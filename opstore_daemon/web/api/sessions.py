"""Sessions of the web page, for clients with a token."""

from flask import Response

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import Invitation
from opstore_daemon.store.page_sessions import CODE_SECONDS
from opstore_daemon.web.framework.possible_errors import WRITE_ERRORS
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    credential,
    empty_response,
    json_response,
    route,
)

ROUTES: list[ApiRoute] = []


@route(
    ROUTES,
    "POST",
    routes.SESSIONS,
    scope="read",
    responses={201: ResponseSpec(Invitation, "A path with a code.")},
    raises=WRITE_ERRORS,
)
def invite(api: Api) -> Response:
    """Return a path that starts one session of the page, in the browser that opens it first."""
    code = api.guards.sessions.invite(credential().owner)
    return json_response(Invitation(path=routes.path(routes.SIGN_IN, code=code), seconds=CODE_SECONDS), 201)


@route(
    ROUTES,
    "DELETE",
    routes.SESSIONS,
    scope="read",
    responses={204: ResponseSpec(None, "The sessions were ended.")},
    raises=WRITE_ERRORS,
)
def end(api: Api) -> Response:
    """End every session of the page that was started with this token, whichever daemon started it."""
    api.guards.sessions.end_all(credential().owner)
    return empty_response(204)
