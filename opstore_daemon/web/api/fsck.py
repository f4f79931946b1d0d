"""The check of the store, page by page."""

from collections.abc import Iterator
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import FsckPage
from opstore_daemon.protocol.subsets import Subset
from opstore_daemon.store.maintenance.pages import FsckOptions
from opstore_daemon.store.operations.fsck import PageSteps
from opstore_daemon.web.framework.possible_errors import READ_ERRORS
from opstore_daemon.web.framework.query_parameters import CURSOR, Query
from opstore_daemon.web.framework.routing import Api, ApiRoute, ResponseSpec, is_client_gone, route, store
from opstore_daemon.web.request_values import MAX_INTEGER

ROUTES: list[ApiRoute] = []
DESCRIPTION = "The page. While the daemon works, blanks come before it, and a line break for each MiB that it has read."
# A client takes a response of fewer bytes in a second for one that somebody draws out.
BLANKS = b" " * 1024


class FsckQuery(Query, frozen=True, kw_only=True):
    """Which part of the store to check, and how."""

    data: Annotated[int, Meta(ge=0, le=1, description="1: read the bytes of all blobs.")] = 0
    subset: (
        Annotated[Subset, Meta(description="Read the bytes of a part of the blobs: 1/7 is the first of seven.")] | None
    ) = None
    rate: (
        Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="The maximum number of bytes to read in a second.")]
        | None
    ) = None
    cursor: Annotated[str, Meta(description=CURSOR)] = ""

    def options(self, *, repair: bool) -> FsckOptions:
        """Return the options of the check."""
        return FsckOptions(bool(self.data), self.subset, self.rate, repair)


@route(
    ROUTES,
    "GET",
    routes.FSCK,
    scope="read",
    responses={200: ResponseSpec(FsckPage, DESCRIPTION)},
    raises=(*READ_ERRORS, errors.TooManyReads),
)
def check(_api: Api, query: FsckQuery) -> Response:
    """Check a part of the store. What is found is in the page; nothing is changed."""
    return _respond(query, repair=False)


@route(
    ROUTES,
    "POST",
    routes.FSCK,
    scope="admin",
    responses={200: ResponseSpec(FsckPage, DESCRIPTION)},
    raises=(*READ_ERRORS, errors.TooManyReads),
)
def repair(_api: Api, query: FsckQuery) -> Response:
    """Check a part of the store, move damaged blobs out of the way, and mark damaged and missing ones."""
    return _respond(query, repair=True)


def _respond(query: FsckQuery, *, repair: bool) -> Response:
    # The head is sent before the work, and then blanks, which JSON allows at its start: the client sees progress.
    steps = store().fsck_page(query.cursor or None, query.options(repair=repair), is_client_gone())
    response = Response(_body(steps), content_type=routes.JSON)
    response.call_on_close(steps.close)
    return response


def _body(steps: PageSteps) -> Iterator[bytes]:
    shown = 0
    for page in steps:
        if page is not None:
            yield records.encode(page)
            return
        before, shown = shown, steps.bytes_read // READ_SIZE
        yield b"\n" * (shown - before) + BLANKS
