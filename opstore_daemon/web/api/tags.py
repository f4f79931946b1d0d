"""Tags."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import NewTag, Tagged, Tags
from opstore_daemon.protocol.references import TagName
from opstore_daemon.web.framework.possible_errors import LOCK_ERRORS, READ_ERRORS, REFERENCE_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import AsOf, Page
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    empty_response,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []


class TagsQuery(Page, frozen=True, kw_only=True):
    """Which tags to list."""

    op: Annotated[OpName, Meta(description="Only tags of this op.")] | None = None
    history: Annotated[int, Meta(ge=0, le=1, description="1: every move of a tag, and not only the tags in force.")] = 0
    as_of: AsOf | None = None


@route(
    ROUTES,
    "GET",
    routes.TAGS,
    scope="read",
    responses={200: ResponseSpec(Tags, "The page.")},
    raises=(*READ_ERRORS, errors.InvalidName, errors.OpNotFound),
)
def listing(_api: Api, query: TagsQuery) -> Response:
    """List the tags in force, or every move of a tag, newest first."""
    cursor = query.cursor or None
    return json_response(
        store().tags_page(query.op, cursor, query.limit, history=bool(query.history), as_of=query.as_of)
    )


@route(
    ROUTES,
    "POST",
    routes.TAGS,
    scope="write",
    responses={200: ResponseSpec(Tagged, "The tag on each of the versions.")},
    raises=(
        *WRITE_ERRORS,
        *REFERENCE_ERRORS,
        *LOCK_ERRORS,
        errors.InvalidTag,
    ),
)
def move(_api: Api, body: NewTag) -> Response:
    """Move a tag to one version of each of several ops, or to none of them if one fails."""
    if body.lock is not None and body.versions:
        raise errors.InvalidRequest(reason="versions and lock are mutually exclusive")
    return json_response(store().move_tag(body.versions if body.lock is None else body.lock, body.tag))


@route(
    ROUTES,
    "DELETE",
    routes.TAG,
    scope="write",
    responses={204: ResponseSpec(None, "The tag was removed.")},
    raises=(*WRITE_ERRORS, errors.OpNotFound),
)
def remove(_api: Api, op: OpName, tag: TagName) -> Response:
    """Remove a tag; the history of its moves stays."""
    store().untag(op, tag)
    return empty_response(204)
