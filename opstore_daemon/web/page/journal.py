"""The journal."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.request_values import MAX_INTEGER

ROWS = 50


class JournalQuery(AsOf, frozen=True, kw_only=True):
    """Where the list of entries begins."""

    below: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="List only entries below this position.")] | None = (
        None
    )


def journal(_api: Api, query: JournalQuery) -> Response:
    """Show the entries of the journal, newest first."""
    entries = store().entries(query.below, ROWS, query.value)
    return page(
        "journal.html", query, "Journal", is_top=True, entries=entries, below=query.below, full=len(entries) == ROWS
    )
