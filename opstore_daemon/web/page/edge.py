"""The page of an edge: the verdict between two versions."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.catalog.links import Filter
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page

ROWS = 50


class EdgeQuery(AsOf, frozen=True, kw_only=True):
    """The two versions."""

    upstream: Annotated[Reference, Meta(description="The reference of the upstream version.")]
    downstream: Annotated[Reference, Meta(description="The reference of the downstream version.")]


def edge(_api: Api, query: EdgeQuery) -> Response:
    """Show the verdict of the edge, its reason, and the links between the two ops."""
    found = store().validate(query.upstream, query.downstream, as_of=query.value)
    up, down = query.upstream.op, query.downstream.op
    links = store().links_page(Filter(None, up, down, history=True), None, ROWS, as_of=query.value).links
    return page("edge.html", query, "Overview", edge=found.edges[0], links=links, rows=ROWS)
