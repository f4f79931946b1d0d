"""The pipelines: each as a graph with its verdicts, and its resolution."""

from itertools import groupby
from operator import attrgetter
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.web.framework.routing import Api, Route, route, store
from opstore_daemon.web.page.graph_drawing import HEIGHT, WIDTH, draw
from opstore_daemon.web.page.rendering import RAISES, SHOWN, AsOf, page

ROUTES: list[Route] = []
ROWS = 20  # of the list
PASSED_OVER = 20  # versions of an op that are told with the reason


class Pipelines(AsOf, frozen=True, kw_only=True):
    """Where the list begins."""

    after: Annotated[str, Meta(description="The name behind which the list begins.")] = ""


@route(ROUTES, "GET", routes.PIPELINES_PAGE, scope="read", responses=SHOWN, raises=RAISES)
def listing(_api: Api, query: Pipelines) -> Response:
    """The pipelines with their verdicts."""
    found = store().pipeline_lines(query.after, ROWS, query.value)
    return page("pipelines.html", query, pipelines=found, after=query.after, full=len(found) == ROWS)


@route(ROUTES, "GET", routes.PIPELINE_PAGE, scope="read", responses=SHOWN, raises=RAISES)
def show(_api: Api, pipeline: str, query: AsOf) -> Response:
    """A pipeline as a graph, with the verdict of its latest versions, and the newest that are valid together."""
    found = store().validate_pipeline(pipeline, as_of=query.value)
    resolution = store().resolve(pipeline, as_of=query.value)
    skipped = [
        (op, several[:PASSED_OVER], len(several))
        for op, several in ((op, list(group)) for op, group in groupby(resolution.skipped, attrgetter("op")))
    ]
    return page(
        "pipeline.html",
        query,
        name=pipeline,
        found=found,
        drawing=draw(found),
        box=(WIDTH, HEIGHT),
        resolution=resolution,
        skipped=skipped,
    )
