"""Sessions of the page: begun and ended by whoever has a token."""

from flask import Response

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import Invitation
from opstore_daemon.web.framework.routing import Answer, Api, Route, answer, credential, nothing, route
from opstore_daemon.web.sessions import CODE_SECONDS

ROUTES: list[Route] = []


@route(ROUTES, "POST", routes.SESSIONS, scope="read", answers={201: Answer(Invitation, "A code.")})
def invite(api: Api) -> Response:
    """A path that begins one session of the page, for the browser that asks for it first."""
    code = api.guards.sessions.invite(credential().owner)
    return answer(Invitation(path=routes.path(routes.SIGN_IN, code=code), seconds=CODE_SECONDS), 201)


@route(ROUTES, "DELETE", routes.SESSIONS, scope="read", answers={204: Answer(None, "There is none any more.")})
def end(api: Api) -> Response:
    """Ends every session of the page that was begun with this token."""
    api.guards.sessions.end_all(credential().owner)
    return nothing(204)
