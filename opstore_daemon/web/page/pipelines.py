"""The pipelines: each as a graph with its verdicts, and its resolution."""

from itertools import groupby
from operator import attrgetter
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Resolution
from opstore_daemon.web.framework.routing import Api, is_client_gone, store
from opstore_daemon.web.page.rendering import AsOf, page

ROWS = 20  # of the list
BISECTIONS = 3  # newest ones of a pipeline that are listed
RUNS = 5  # newest ones of a pipeline that are listed
SKIPPED_ROWS = 20  # versions of an op that are listed with the reason


class PipelinesQuery(AsOf, frozen=True, kw_only=True):
    """Where the list begins."""

    after: Annotated[str, Meta(description="List only pipelines whose names come after this one.")] = ""


def list_pipelines(_api: Api, query: PipelinesQuery) -> Response:
    """Show the pipelines with their verdicts."""
    lines = store().pipeline_lines(query.after, ROWS, query.value)
    has_more = bool(lines) and store().has_pipelines_after(lines[-1].pipeline.name, query.value)
    return page("pipelines.html", query, "Pipelines", is_top=True, pipelines=lines, after=query.after, more=has_more)


def pipeline(_api: Api, pipeline: PipelineName, query: AsOf) -> Response:
    """Show a pipeline as a graph, the verdict of its latest versions, and its resolution."""
    from opstore_daemon.web.page.graph_drawing import HEIGHT, draw  # imports grandalf and, if installed, numpy

    found = store().validate_pipeline(pipeline, as_of=query.value)
    resolution, too_hard = _resolve(pipeline, query.value)
    place = {each.op: number for number, each in enumerate(found.versions)}  # in the order of the data
    skipped = () if resolution is None else resolution.skipped
    by_op = ((op, list(group)) for op, group in groupby(skipped, attrgetter("op")))
    return page(
        "pipeline.html",
        query,
        "Pipelines",
        name=pipeline,
        found=found,
        runs=store().runs_page(pipeline, None, RUNS, as_of=query.value).runs,
        bisections=store().bisections_page(pipeline, None, BISECTIONS, as_of=query.value).bisections,
        edges=sorted(found.edges, key=lambda edge: (place[edge.upstream.op], place[edge.downstream.op])),
        drawing=draw(found),
        box_height=HEIGHT,
        resolution=resolution,
        too_hard=too_hard,
        skipped=[(op, versions[:SKIPPED_ROWS], len(versions)) for op, versions in by_op],
    )


def _resolve(pipeline: PipelineName, as_of: str | None) -> tuple[Resolution | None, str]:
    """Return the resolution, or why it takes too much work: the page shows the rest in any case."""
    try:
        return store().resolve(pipeline, as_of=as_of, is_cancelled=is_client_gone()), ""
    except errors.BudgetExceeded as error:
        return None, error.text
