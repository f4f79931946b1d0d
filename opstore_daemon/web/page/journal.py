"""The verdict of two versions, the journal, and the search."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import Reference
from opstore_daemon.protocol.references import parse_reference
from opstore_daemon.store.catalog.links import Filter
from opstore_daemon.web.framework.routing import Api, Route, route, store
from opstore_daemon.web.guards import HIGHEST_COUNT
from opstore_daemon.web.page.rendering import RAISES, SHOWN, Looking, page

ROUTES: list[Route] = []
ROWS = 50


class Edge(Looking, frozen=True, kw_only=True):
    """Whose verdict is asked for."""

    upstream: Annotated[Reference, Meta(description="The reference of the upstream version.")]
    downstream: Annotated[Reference, Meta(description="The reference of the downstream version.")]


class Before(Looking, frozen=True, kw_only=True):
    """Where the journal begins."""

    below: Annotated[int, Meta(ge=1, le=HIGHEST_COUNT, description="The position below which it begins.")] | None = None


class Sought(Looking, frozen=True, kw_only=True):
    """What is looked for."""

    q: Annotated[str, Meta(description="A part of a name, a reference, or the beginning of a digest.")] = ""


@route(ROUTES, "GET", routes.EDGE_PAGE, scope="read", answers=SHOWN, raises=RAISES)
def edge(_api: Api, query: Edge) -> Response:
    """The verdict for one edge, its reason, and the entries between the two ops."""
    found = store().validate(query.upstream, query.downstream, as_of=query.then)
    up, down = parse_reference(query.upstream).op, parse_reference(query.downstream).op
    entries = store().links_page(Filter(None, up, down, history=True), None, ROWS, as_of=query.then).links
    return page("edge.html", query, edge=found.edges[0], links=entries, rows=ROWS)


@route(ROUTES, "GET", routes.JOURNAL_PAGE, scope="read", answers=SHOWN, raises=RAISES)
def journal(_api: Api, query: Before) -> Response:
    """What happened, newest first."""
    entries = store().entries(query.below, ROWS, query.then)
    return page("journal.html", query, entries=entries, below=query.below, full=len(entries) == ROWS)


@route(ROUTES, "GET", routes.SEARCH_PAGE, scope="read", answers=SHOWN, raises=RAISES)
def search(_api: Api, query: Sought) -> Response:
    """Ops, pipelines, tags and versions that answer to a text."""
    return page("search.html", query, q=query.q, found=store().search(query.q, query.then))
