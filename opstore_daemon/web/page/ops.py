"""The ops, an op with its versions, and one version."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.references import Reference
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.request_values import MAX_INTEGER

ROWS = 50  # of a table
PIPELINES = 12  # on the home page


class HomeQuery(AsOf, frozen=True, kw_only=True):
    """Where the list of ops begins."""

    after: Annotated[str, Meta(description="List only ops whose names come after this one.")] = ""


class OpQuery(AsOf, frozen=True, kw_only=True):
    """Where the list of versions begins."""

    below: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="List only versions below this sequence.")] | None = (
        None
    )


def home(_api: Api, query: HomeQuery) -> Response:
    """Show the ops with their latest versions, and the first pipelines with their verdicts."""
    ops = store().op_lines(query.after, ROWS, query.value)
    pipelines = [] if query.after else store().pipeline_lines("", PIPELINES, query.value)
    return page("home.html", query, ops=ops, pipelines=pipelines, after=query.after, full=len(ops) == ROWS)


def op(_api: Api, op: OpName, query: OpQuery) -> Response:
    """Show an op with its versions, its tags, and the ops and pipelines that it is related to."""
    related = store().neighbours(op, query.value)
    return page(
        "op.html",
        query,
        op=op,
        found=store().versions(op, limit=ROWS, as_of=query.value, below=query.below),
        tags=store().tags(op, as_of=query.value),
        related=related,
        below=query.below,
    )


def version(_api: Api, reference: Reference, query: AsOf) -> Response:
    """Show a version, and its verdicts with the latest versions of related ops."""
    found = store().show(reference, as_of=query.value)
    shown = Reference.of(found.op, found.version)
    related = store().neighbours(found.op, query.value)
    ups = [store().validate(up, shown, as_of=query.value).edges[0] for up in related.upstreams]
    downs = [store().validate(shown, down, as_of=query.value).edges[0] for down in related.downstreams]
    return page("version.html", query, version=found, ups=ups, downs=downs, related=related)
