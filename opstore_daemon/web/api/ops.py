"""Ops, and their compatibility levels."""

from flask import Response

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import ChangeOp, OpRecord, Ops
from opstore_daemon.web.framework.possible_errors import READING, WRITING
from opstore_daemon.web.framework.query_parameters import Page
from opstore_daemon.web.framework.routing import Answer, Api, Route, answer, route, store

ROUTES: list[Route] = []
ONE = Answer(OpRecord, "The op.")


@route(ROUTES, "GET", routes.OPS, scope="read", answers={200: Answer(Ops, "The page.")}, raises=READING)
def listing(_api: Api, query: Page) -> Response:
    """A page of ops, by name."""
    return answer(store().ops_page(query.cursor, query.limit))


@route(ROUTES, "GET", routes.OP, scope="read", answers={200: ONE}, raises=(*READING, errors.OpNotFound))
def show(_api: Api, op: str) -> Response:
    """One op."""
    return answer(store().op(op))


@route(ROUTES, "PATCH", routes.OP, scope="write", answers={200: ONE}, raises=(*WRITING, errors.OpNotFound))
def change(_api: Api, op: str, body: ChangeOp) -> Response:
    """Sets the compatibility level."""
    return answer(store().set_compat(op, body.compat))
