"""Pipelines, and the verdict over all edges of one."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import NewPipeline, PipelineRecord, Pipelines, Validation
from opstore_daemon.web.framework.headers import IF_NONE_MATCH, LOCATION, VERDICT_ETAG
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, REFERENCE_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import AsOf, Page, Query, Use
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    empty_response,
    has_verdict,
    is_client_gone,
    json_or_304,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []


class VerdictQuery(Query, frozen=True, kw_only=True):
    """Which versions to judge."""

    use: Use = ()
    as_of: AsOf | None = None
    exact_set: Annotated[
        int,
        Meta(ge=0, le=1, description="1: valid only if the newest run of exactly these versions passed, too."),
    ] = 0


@route(
    ROUTES,
    "GET",
    routes.PIPELINES,
    scope="read",
    responses={200: ResponseSpec(Pipelines, "The page.")},
    raises=READ_ERRORS,
)
def listing(_api: Api, query: Page) -> Response:
    """List pipelines by name."""
    return json_response(store().pipelines_page(query.cursor, query.limit))


@route(
    ROUTES,
    "POST",
    routes.PIPELINES,
    scope="write",
    responses={
        201: ResponseSpec(PipelineRecord, "The pipeline was registered.", (LOCATION,)),
        200: ResponseSpec(PipelineRecord, "The pipeline exists already, with the same graph."),
    },
    raises=(*WRITE_ERRORS, errors.InvalidName, errors.InvalidGraph, errors.PipelineConflict),
)
def register(_api: Api, body: NewPipeline) -> Response:
    """Register a pipeline, if the same one does not exist already."""
    record = store().register_pipeline(body.name, body.ops, body.edges, new_ops=body.new_ops)
    location = {LOCATION.name: routes.path(routes.PIPELINE, pipeline=record.name)}
    return json_response(record, 201, location) if record.created else json_response(record)


@route(
    ROUTES,
    "GET",
    routes.PIPELINE,
    scope="read",
    responses={200: ResponseSpec(PipelineRecord, "The pipeline.")},
    raises=(*READ_ERRORS, errors.PipelineNotFound),
)
def show(_api: Api, pipeline: PipelineName) -> Response:
    """Return one pipeline."""
    return json_response(store().pipeline(pipeline))


@route(
    ROUTES,
    "DELETE",
    routes.PIPELINE,
    scope="write",
    responses={204: ResponseSpec(None, "The pipeline was removed.")},
    raises=(*WRITE_ERRORS, errors.PipelineNotFound),
)
def remove(_api: Api, pipeline: PipelineName) -> Response:
    """Remove a pipeline; its ops, versions and links stay."""
    store().remove_pipeline(pipeline)
    return empty_response(204)


@route(
    ROUTES,
    "GET",
    routes.PIPELINE_VERDICT,
    scope="read",
    responses={
        200: ResponseSpec(Validation, "The verdict.", (VERDICT_ETAG,)),
        304: ResponseSpec(None, "The client has this verdict.", (VERDICT_ETAG,)),
    },
    raises=(
        *READ_ERRORS,
        *REFERENCE_ERRORS,
        errors.PipelineNotFound,
        errors.TooMuchWork,
        errors.TooManySearches,
    ),
    headers=(IF_NONE_MATCH,),
)
def verdict(_api: Api, pipeline: PipelineName, query: VerdictQuery) -> Response:
    """Return the verdict over all edges, for the latest versions or those in `use`."""
    found = store().pipeline_verdict(
        pipeline,
        query.use,
        query.as_of,
        unless=has_verdict,
        is_cancelled=is_client_gone(),
        exact_set=bool(query.exact_set),
    )
    return json_or_304(found)
