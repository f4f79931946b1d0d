"""The journal."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import Name
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.request_values import MAX_INTEGER

ROWS = 50


class JournalQuery(AsOf, frozen=True, kw_only=True):
    """Which entries to list."""

    below: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="List only entries below this position.")] | None = (
        None
    )
    name: Annotated[str, Meta(description="List only entries about the op or the pipeline of this name.")] = ""


def journal(_api: Api, query: JournalQuery) -> Response:
    """Show the entries of the journal, newest first."""
    name = query.name.strip()
    problem = ""
    similar: list[str] = []
    try:
        entries = store().entries(query.below, ROWS, query.value, Name.parse(name) if name else None)
    except (errors.InvalidName, errors.OpNotFound) as error:  # the form is still there to correct it
        entries, similar = [], [] if query.value else error.details.get("similar", [])
        there_was = "had" if query.value else "has"
        problem = (
            error.text if isinstance(error, errors.InvalidName) else f"no op or pipeline {there_was} the name {name}"
        )
    return page(
        "journal.html",
        query,
        "Journal",
        is_top=True,
        entries=entries,
        name=name,
        problem=problem,
        similar=similar,
        below=query.below,
        full=len(entries) == ROWS,
    )
