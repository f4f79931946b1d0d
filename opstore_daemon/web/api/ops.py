"""Ops."""

from flask import Response

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import ChangeOp
from opstore_daemon.web.routing import Api, Route, answer, body, limit, one, parameters, route, store

ROUTES: list[Route] = []


@route(ROUTES, "GET", routes.OPS, scope="read")
def listing(_api: Api) -> Response:
    """A page of ops, by name."""
    parameters("limit", "cursor")
    return answer(store().ops_page(one("cursor") or "", limit()))


@route(ROUTES, "GET", routes.OP, scope="read")
def show(_api: Api, op: str) -> Response:
    """One op."""
    parameters()
    return answer(store().op(op))


@route(ROUTES, "PATCH", routes.OP, scope="write", takes=routes.JSON)
def change(_api: Api, op: str) -> Response:
    """Sets the compatibility level."""
    parameters()
    return answer(store().set_compat(op, body(ChangeOp).compat))
