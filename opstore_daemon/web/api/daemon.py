"""The daemon itself: whether it lives, whether it can serve, what it is, and how to ask it."""

from ipaddress import ip_address

from flask import Response, request

from opstore_daemon.protocol import errors, proof, records, routes
from opstore_daemon.web.framework.headers import ETAG, IF_NONE_MATCH, NONCE, PROOF
from opstore_daemon.web.framework.possible_errors import READ_ERRORS
from opstore_daemon.web.framework.routing import (
    Api,
    ResponseSpec,
    Route,
    client_has,
    empty_response,
    json_response,
    route,
)

ROUTES: list[Route] = []
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
    """Says ok. To a nonce, it proves in a header that it knows the token, where the Host is where it listens."""
    response = Response(OK, content_type=TEXT)
    nonce = request.headers.get(NONCE.name)
    if nonce is not None:
        if not proof.is_nonce(nonce):
            raise errors.InvalidRequest(reason=f"{NONCE.name} is to be 32 to 128 hex digits")
        proven = api.guards.prove(nonce, request.headers.get("Host", ""), _own_authority())
        if proven is not None:
            response.headers[PROOF.name] = proven
    return response


def _own_authority() -> str:
    """Return where the server listens; on 127.0.0.1, if it does not say on which address."""
    host, port = request.server or ("", None)
    try:
        known = not ip_address(host).is_unspecified
    except ValueError:
        known = False
    return proof.authority(host if known else "127.0.0.1", port or 80)


@route(ROUTES, "GET", routes.READY, scope=None, responses={200: ResponseSpec(TEXT, "`ok`.")}, raises=(errors.NotReady,))
def ready(api: Api) -> Response:
    """Says ok where the database and the saver answer."""
    try:
        api.store.check()
    except errors.Unavailable as error:
        raise errors.NotReady from error
    return Response(OK, content_type=TEXT)


@route(
    ROUTES,
    "GET",
    routes.STATUS,
    scope="read",
    responses={200: ResponseSpec(records.Status, "What it is.")},
    raises=READ_ERRORS,
)
def status(api: Api) -> Response:
    """The daemon's version, process, home and schema."""
    return json_response(api.status())


@route(
    ROUTES,
    "GET",
    routes.DOCUMENT,
    scope="read",
    headers=(IF_NONE_MATCH,),
    responses={
        200: ResponseSpec(routes.JSON, "An OpenAPI 3.1 document.", (ETAG,)),
        304: ResponseSpec(None, "It is the same.", (ETAG,)),
    },
)
def document(api: Api) -> Response:
    """The OpenAPI document of all routes, with what they take and answer."""
    body, digest = api.document()
    headers = {ETAG.name: f'"{digest}"'}
    if client_has(digest):
        return empty_response(304, headers)
    return Response(body, headers=headers, content_type=routes.JSON)
