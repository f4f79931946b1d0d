"""How the set of a pipeline changed, and bisections, which find the entry that broke it."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import BisectionRecord, Bisections, NewBisection, SetHistory
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import CURSOR, CountedPage, Limit, Query
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    is_client_gone,
    json_response,
    route,
    store,
)
from opstore_daemon.web.request_values import MAX_INTEGER

ROUTES: list[ApiRoute] = []
_SEARCH_ERRORS = (errors.PipelineNotFound, errors.TooMuchWork, errors.TooManySearches)


class BisectionsQuery(CountedPage, frozen=True, kw_only=True):
    """Which bisections to list."""

    pipeline: Annotated[PipelineName, Meta(description="Only bisections of this pipeline.")] | None = None


class HistoryQuery(Query, frozen=True, kw_only=True):
    """Which part of a history to return."""

    limit: Limit = 100
    cursor: Annotated[int, Meta(ge=0, le=MAX_INTEGER, description=CURSOR)] | None = None
    since: (
        Annotated[str, Meta(description="A position or a time (RFC 3339): only later changes; 0 by default.")] | None
    ) = None
    until: (
        Annotated[str, Meta(description="A position or a time (RFC 3339): no later changes; now by default.")] | None
    ) = None


@route(
    ROUTES,
    "GET",
    routes.SET_HISTORY,
    scope="read",
    responses={200: ResponseSpec(SetHistory, "The page.")},
    raises=(*READ_ERRORS, *_SEARCH_ERRORS),
)
def history(_api: Api, pipeline: PipelineName, query: HistoryQuery) -> Response:
    """Return how the latest versions of a pipeline's ops changed, oldest change first."""
    page = store().set_history_page(
        pipeline,
        query.cursor,
        query.limit,
        since=query.since,
        until=query.until,
        is_cancelled=is_client_gone(),
    )
    return json_response(page)


@route(
    ROUTES,
    "POST",
    routes.NEW_BISECTIONS,
    scope="write",
    responses={201: ResponseSpec(BisectionRecord, "The bisection.")},
    raises=(*WRITE_ERRORS, *_SEARCH_ERRORS, errors.InvalidDigest, errors.PipelineChanged),
)
def record(_api: Api, pipeline: PipelineName, body: NewBisection) -> Response:
    """Record the result of a bisection."""
    return json_response(store().record_bisection(pipeline, body, is_cancelled=is_client_gone()), 201)


@route(
    ROUTES,
    "GET",
    routes.BISECTIONS,
    scope="read",
    responses={200: ResponseSpec(Bisections, "The page.")},
    raises=(*READ_ERRORS, errors.InvalidName, errors.PipelineNotFound),
)
def listing(_api: Api, query: BisectionsQuery) -> Response:
    """List bisections, newest first. A page may have fewer rows than `limit`."""
    return json_response(store().bisections_page(query.pipeline, query.cursor, query.limit))
