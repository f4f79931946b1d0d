"""The search."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.store.reports.overview import MAX_SEARCHED
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page


class SearchQuery(AsOf, frozen=True, kw_only=True):
    """What to search for."""

    q: Annotated[
        str, Meta(description="A part of a name, a label or a message, a reference, or the first digits of a digest.")
    ] = ""


def search(_api: Api, query: SearchQuery) -> Response:
    """Show the ops, pipelines, tags, versions, labels and messages that match a text."""
    return page("search.html", query, q=query.q, found=store().search(query.q, query.value), searched=MAX_SEARCHED)
