"""The daemon itself: whether it lives, whether it can serve, what it is."""

from flask import Response, request

from opstore_daemon.protocol import errors, proof, routes
from opstore_daemon.web.routing import Api, Route, answer, parameters, route

ROUTES: list[Route] = []


@route(ROUTES, "GET", routes.HEALTH, scope=None)
def health(api: Api) -> Response:
    """Says ok. To a nonce, it proves in a header that it knows the token."""
    response = Response(b"ok\n", content_type="text/plain")
    nonce = request.headers.get(routes.NONCE)
    if nonce is not None:
        if not proof.is_nonce(nonce):
            raise errors.InvalidRequest(reason=f"{routes.NONCE} is to be 32 to 128 hex digits")
        response.headers[routes.PROOF] = api.prove(nonce, int(request.environ["SERVER_PORT"]))
    return response


@route(ROUTES, "GET", routes.READY, scope=None)
def ready(api: Api) -> Response:
    """Says ok where the database and the saver answer."""
    try:
        api.store.check()
    except errors.Unavailable as error:
        raise errors.NotReady from error
    return Response(b"ok\n", content_type="text/plain")


@route(ROUTES, "GET", routes.STATUS, scope="read")
def status(api: Api) -> Response:
    """The daemon's version, process, home and schema."""
    parameters()
    return answer(api.status())
