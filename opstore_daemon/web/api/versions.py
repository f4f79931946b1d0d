"""Versions: listed, shown, pushed and registered."""

from flask import Response, request

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import NewVersion
from opstore_daemon.web.routing import (
    Api,
    Route,
    answer,
    body,
    credential,
    cursor,
    limit,
    one,
    parameters,
    route,
    store,
)

ROUTES: list[Route] = []


@route(ROUTES, "GET", routes.VERSIONS, scope="read")
def listing(_api: Api, op: str) -> Response:
    """A page of versions, newest first; with `valid_for`, those that are valid for all of them."""
    parameters("valid_for", "select", "limit", "cursor")
    selector = one("select")
    reference = check_name(op) if selector is None else f"{check_name(op)}@{selector}"
    valid_for = request.args.getlist("valid_for")
    return answer(store().versions(reference, valid_for=valid_for, limit=limit(), below=cursor()))


@route(ROUTES, "POST", routes.VERSIONS, scope="write", takes=routes.JSON)
def add(_api: Api, op: str) -> Response:
    """A version of an upload's bytes, or of none."""
    parameters()
    pushed = store().add_version(op, body(NewVersion), credential().owner)
    return answer(pushed, 201 if pushed.created else 200)


@route(ROUTES, "GET", routes.VERSION, scope="read")
def show(_api: Api, op: str, selector: str) -> Response:
    """One version."""
    parameters()
    return answer(store().show(f"{check_name(op)}@{selector}"))
