"""Pipelines, and the verdict over all their edges."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import NewPipeline, PipelineRecord, Pipelines, Reference, Validation
from opstore_daemon.web.framework.headers import IF_NONE_MATCH, LOCATION, VERDICT_ETAG
from opstore_daemon.web.framework.possible_errors import PICKING, READING, WRITING
from opstore_daemon.web.framework.query_parameters import AsOf, Page, Query
from opstore_daemon.web.framework.routing import Answer, Api, Route, answer, nothing, route, seen_at, store, unless_seen

ROUTES: list[Route] = []


class Used(Query, frozen=True, kw_only=True):
    """Which versions to ask about."""

    use: Annotated[tuple[Reference, ...], Meta(description="References, each as if it were the latest of its op.")] = ()
    as_of: AsOf | None = None


@route(ROUTES, "GET", routes.PIPELINES, scope="read", answers={200: Answer(Pipelines, "The page.")}, raises=READING)
def listing(_api: Api, query: Page) -> Response:
    """A page of pipelines, by name."""
    return answer(store().pipelines_page(query.cursor, query.limit))


@route(
    ROUTES,
    "POST",
    routes.PIPELINES,
    scope="write",
    answers={
        201: Answer(PipelineRecord, "The pipeline was registered.", (LOCATION,)),
        200: Answer(PipelineRecord, "Nothing was new: the pipeline that is there."),
    },
    raises=(*WRITING, errors.InvalidName, errors.InvalidGraph, errors.PipelineConflict),
)
def register(_api: Api, body: NewPipeline) -> Response:
    """A pipeline; the same again makes nothing new."""
    record = store().register_pipeline(body.name, body.ops, body.edges)
    made = {LOCATION.name: routes.path(routes.PIPELINE, pipeline=record.name)}
    return answer(record, 201, made) if record.created else answer(record)


@route(
    ROUTES,
    "GET",
    routes.PIPELINE,
    scope="read",
    answers={200: Answer(PipelineRecord, "The pipeline.")},
    raises=(*READING, errors.PipelineNotFound),
)
def show(_api: Api, pipeline: str) -> Response:
    """One pipeline."""
    return answer(store().pipeline(pipeline))


@route(
    ROUTES,
    "DELETE",
    routes.PIPELINE,
    scope="write",
    answers={204: Answer(None, "It was removed.")},
    raises=(*WRITING, errors.PipelineNotFound),
)
def remove(_api: Api, pipeline: str) -> Response:
    """Removes it; its ops, versions and links stay."""
    store().remove_pipeline(pipeline)
    return nothing(204)


@route(
    ROUTES,
    "GET",
    routes.PIPELINE_VERDICT,
    scope="read",
    answers={
        200: Answer(Validation, "The verdict.", (VERDICT_ETAG,)),
        304: Answer(None, "It is what the asker has seen.", (VERDICT_ETAG,)),
    },
    raises=(*READING, *PICKING, errors.PipelineNotFound),
    headers=(IF_NONE_MATCH,),
)
def verdict(_api: Api, pipeline: str, query: Used) -> Response:
    """The verdict over all edges of the latest versions, or of those in `use`."""
    return unless_seen(store().pipeline_verdict(pipeline, query.use, query.as_of, unless=seen_at))
