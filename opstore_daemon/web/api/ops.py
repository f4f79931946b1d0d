"""Ops, and their compatibility levels."""

from flask import Response

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import ChangeOp, OpRecord, Ops
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import Page
from opstore_daemon.web.framework.routing import Api, ApiRoute, ResponseSpec, json_response, route, store

ROUTES: list[ApiRoute] = []
OP = ResponseSpec(OpRecord, "The op.")


@route(ROUTES, "GET", routes.OPS, scope="read", responses={200: ResponseSpec(Ops, "The page.")}, raises=READ_ERRORS)
def listing(_api: Api, query: Page) -> Response:
    """List ops by name."""
    return json_response(store().ops_page(query.cursor, query.limit))


@route(ROUTES, "GET", routes.OP, scope="read", responses={200: OP}, raises=(*READ_ERRORS, errors.OpNotFound))
def show(_api: Api, op: OpName) -> Response:
    """Return one op."""
    return json_response(store().op(op))


@route(ROUTES, "PATCH", routes.OP, scope="write", responses={200: OP}, raises=(*WRITE_ERRORS, errors.OpNotFound))
def change(_api: Api, op: OpName, body: ChangeOp) -> Response:
    """Set the compatibility level."""
    return json_response(store().set_compat(op, body.compat))
