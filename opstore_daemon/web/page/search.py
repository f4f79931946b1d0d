"""The search."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.web.framework.routing import Api, Route, route, store
from opstore_daemon.web.page.rendering import RAISES, SHOWN, AsOf, page

ROUTES: list[Route] = []


class SearchQuery(AsOf, frozen=True, kw_only=True):
    """What to search for."""

    q: Annotated[str, Meta(description="A part of a name, a reference, or the first digits of a digest.")] = ""


@route(ROUTES, "GET", routes.SEARCH_PAGE, scope="read", responses=SHOWN, raises=RAISES)
def search(_api: Api, query: SearchQuery) -> Response:
    """Show the ops, pipelines, tags and versions that match a text."""
    return page("search.html", query, q=query.q, found=store().search(query.q, query.value))
