"""The journal."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import Name
from opstore_daemon.protocol.records import Journal
from opstore_daemon.web.framework.possible_errors import READ_ERRORS
from opstore_daemon.web.framework.query_parameters import CountedPage
from opstore_daemon.web.framework.routing import Api, ApiRoute, ResponseSpec, json_response, route, store

ROUTES: list[ApiRoute] = []


class JournalQuery(CountedPage, frozen=True, kw_only=True):
    """Which entries to list."""

    name: Annotated[Name, Meta(description="Only entries about this op or this pipeline.")] | None = None


@route(
    ROUTES,
    "GET",
    routes.JOURNAL,
    scope="read",
    responses={200: ResponseSpec(Journal, "The page.")},
    raises=(*READ_ERRORS, errors.InvalidName, errors.OpNotFound),
)
def listing(_api: Api, query: JournalQuery) -> Response:
    """List the entries of the journal, newest first."""
    return json_response(store().journal_page(query.name, query.cursor, query.limit))
