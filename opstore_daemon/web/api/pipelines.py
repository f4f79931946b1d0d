"""Pipelines, and the verdict over all their edges."""

from flask import Response, request

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import NewPipeline
from opstore_daemon.web.routing import Api, Route, answer, body, limit, one, parameters, route, store

ROUTES: list[Route] = []


@route(ROUTES, "GET", routes.PIPELINES, scope="read")
def listing(_api: Api) -> Response:
    """A page of pipelines, by name."""
    parameters("limit", "cursor")
    return answer(store().pipelines_page(one("cursor") or "", limit()))


@route(ROUTES, "POST", routes.PIPELINES, scope="write", takes=routes.JSON)
def register(_api: Api) -> Response:
    """A pipeline; the same again makes nothing new."""
    parameters()
    wanted = body(NewPipeline)
    record = store().register_pipeline(wanted.name, wanted.ops, wanted.edges)
    return answer(record, 201 if record.created else 200)


@route(ROUTES, "GET", routes.PIPELINE, scope="read")
def show(_api: Api, pipeline: str) -> Response:
    """One pipeline."""
    parameters()
    return answer(store().pipeline(pipeline))


@route(ROUTES, "DELETE", routes.PIPELINE, scope="write")
def remove(_api: Api, pipeline: str) -> Response:
    """Removes it; its ops, versions and links stay."""
    parameters()
    store().remove_pipeline(pipeline)
    return Response(status=204)


@route(ROUTES, "GET", routes.PIPELINE_VERDICT, scope="read")
def verdict(_api: Api, pipeline: str) -> Response:
    """The verdict over all edges of the latest versions, or of those in `use`."""
    parameters("use")
    return answer(store().validate_pipeline(pipeline, use=request.args.getlist("use")))
