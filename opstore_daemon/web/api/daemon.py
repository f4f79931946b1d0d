"""The daemon itself: its health, its readiness, its status and its API document."""

from ipaddress import ip_address

from flask import Response, request

from opstore_daemon.protocol import errors, proof, records, routes
from opstore_daemon.web.framework.headers import ETAG, IF_NONE_MATCH, NONCE, PROOF
from opstore_daemon.web.framework.possible_errors import READ_ERRORS
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    client_has,
    empty_response,
    json_response,
    route,
)

ROUTES: list[ApiRoute] = []
TEXT = "text/plain"
OK = b"ok\n"


@route(
    ROUTES,
    "GET",
    routes.HEALTH,
    scope=None,
    headers=(NONCE,),
    responses={200: ResponseSpec(TEXT, "`ok`.", (PROOF,))},
)
def health(api: Api) -> Response:
    """Return ok. Given a nonce, prove in a header that the daemon knows the token, if the Host is where it listens."""
    response = Response(OK, content_type=TEXT)
    nonce = request.headers.get(NONCE.name)
    if nonce is not None:
        if not proof.is_nonce(nonce):
            raise errors.InvalidRequest(reason=f"{NONCE.name} has to be 32 to 128 hex digits")
        proofs = api.guards.prove(nonce, request.headers.get("Host", ""), _own_authority())
        if proofs is not None:
            response.headers[PROOF.name] = proofs
    return response


def _own_authority() -> str:
    """Return the authority that the server listens at; with 127.0.0.1 if its address is unknown."""
    host, port = request.server or ("", None)
    try:
        is_address = not ip_address(host).is_unspecified
    except ValueError:
        is_address = False
    return proof.authority(host if is_address else "127.0.0.1", port or 80)


@route(ROUTES, "GET", routes.READY, scope=None, responses={200: ResponseSpec(TEXT, "`ok`.")}, raises=(errors.NotReady,))
def ready(api: Api) -> Response:
    """Return ok if the database responds, and a folder of bytes, and the daemon is not about to stop."""
    api.readiness.verify()
    return Response(OK, content_type=TEXT)


@route(
    ROUTES,
    "GET",
    routes.STATUS,
    scope="read",
    responses={200: ResponseSpec(records.Status, "The status.")},
    raises=READ_ERRORS,
)
def status(api: Api) -> Response:
    """Return the daemon's version, process, home, schema and sizes."""
    return json_response(api.status())


@route(
    ROUTES,
    "POST",
    routes.STOP,
    scope="admin",
    responses={202: ResponseSpec(None, "The daemon stops.")},
    raises=(errors.StopUnavailable,),
)
def stop(api: Api) -> Response:
    """Stop the daemon. It accepts no more connections, and ends when its running requests are finished."""
    api.stop()
    return empty_response(202)


@route(
    ROUTES,
    "GET",
    routes.DOCUMENT,
    scope="read",
    headers=(IF_NONE_MATCH,),
    responses={
        200: ResponseSpec(routes.JSON, "An OpenAPI 3.1 document.", (ETAG,)),
        304: ResponseSpec(None, "The client has this document.", (ETAG,)),
    },
)
def document(api: Api) -> Response:
    """Return the OpenAPI document of all routes."""
    body, digest = api.document()
    headers = {ETAG.name: f'"{digest}"'}
    if client_has(digest):
        return empty_response(304, headers)
    return Response(body, headers=headers, content_type=routes.JSON)
