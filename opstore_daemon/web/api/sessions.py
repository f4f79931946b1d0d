"""Sessions of the page: begun and ended by whoever has a token."""

from flask import Response

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import Invitation
from opstore_daemon.web.framework.routing import (
    Api,
    ResponseSpec,
    Route,
    credential,
    empty_response,
    json_response,
    route,
)
from opstore_daemon.web.sessions import CODE_SECONDS

ROUTES: list[Route] = []


@route(ROUTES, "POST", routes.SESSIONS, scope="read", responses={201: ResponseSpec(Invitation, "A code.")})
def invite(api: Api) -> Response:
    """A path that begins one session of the page, for the browser that asks for it first."""
    code = api.guards.sessions.invite(credential().owner)
    return json_response(Invitation(path=routes.path(routes.SIGN_IN, code=code), seconds=CODE_SECONDS), 201)


@route(ROUTES, "DELETE", routes.SESSIONS, scope="read", responses={204: ResponseSpec(None, "There is none any more.")})
def end(api: Api) -> Response:
    """Ends every session of the page that was begun with this token."""
    api.guards.sessions.end_all(credential().owner)
    return empty_response(204)
