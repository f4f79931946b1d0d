"""Ops, their compatibility levels and their descriptions."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import ChangeOp, OpRecord, Ops
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import Page
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    is_client_gone,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []
OP = ResponseSpec(OpRecord, "The op.")


class OpsQuery(Page, frozen=True, kw_only=True):
    """Which ops to list."""

    label: Annotated[
        tuple[LabelFilter, ...],
        Meta(description="Only ops with a version that has all these labels, each `KEY` or `KEY=VALUE`."),
    ] = ()


@route(
    ROUTES,
    "GET",
    routes.OPS,
    scope="read",
    responses={200: ResponseSpec(Ops, "The page.")},
    raises=(*READ_ERRORS, errors.InvalidLabel, errors.TooMuchWork, errors.TooManySearches),
)
def listing(_api: Api, query: OpsQuery) -> Response:
    """List ops by name."""
    found = store().ops_page(query.cursor, query.limit, label=query.label, is_cancelled=is_client_gone())
    return json_response(found)


@route(ROUTES, "GET", routes.OP, scope="read", responses={200: OP}, raises=(*READ_ERRORS, errors.OpNotFound))
def show(_api: Api, op: OpName) -> Response:
    """Return one op."""
    return json_response(store().op(op))


@route(ROUTES, "PATCH", routes.OP, scope="write", responses={200: OP}, raises=(*WRITE_ERRORS, errors.OpNotFound))
def change(_api: Api, op: OpName, body: ChangeOp) -> Response:
    """Set the compatibility level or the description, or both."""
    return json_response(store().set_op(op, compat=body.compat, description=body.description))
