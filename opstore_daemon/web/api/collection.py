"""Garbage: collect it, or say what could be collected."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.records import Collection, NewCollection
from opstore_daemon.protocol.records.collections import DEFAULT_GRACE, MAX_GRACE
from opstore_daemon.store.maintenance.collection import RunningCollection
from opstore_daemon.web.framework.possible_errors import READ_ERRORS
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    is_client_gone,
    route,
    store,
)

ROUTES: list[ApiRoute] = []
ERRORS = (*READ_ERRORS, errors.StorageFailed, errors.CollectionRefused)


class GarbageQuery(Query, frozen=True, kw_only=True):
    """What a collection would be asked for."""

    grace: Annotated[int, Meta(ge=0, le=MAX_GRACE, description="Blobs published within so many seconds stay.")] = (
        DEFAULT_GRACE
    )
    purge: Annotated[int, Meta(ge=0, le=1, description="1: as if the trash were emptied now.")] = 0


@route(
    ROUTES,
    "GET",
    routes.GARBAGE,
    scope="read",
    responses={200: ResponseSpec(Collection, "What a collection would do.")},
    raises=(*ERRORS, errors.TooManyReads),
)
def preview(_api: Api, query: GarbageQuery) -> Response:
    """Return what a collection of garbage would free now."""
    return _respond(
        store().start_collection(query.grace, purge=bool(query.purge), dry_run=True, is_cancelled=is_client_gone())
    )


@route(
    ROUTES,
    "POST",
    routes.GARBAGE,
    scope="admin",
    responses={200: ResponseSpec(Collection, "What the collection did.")},
    raises=(*ERRORS, errors.CollectionHeld),
)
def collect(_api: Api, body: NewCollection) -> Response:
    """Collect garbage beside all other requests. If the client goes away, the collection ends."""
    return _respond(
        store().start_collection(body.grace, purge=body.purge, dry_run=False, is_cancelled=is_client_gone())
    )


def _respond(running: RunningCollection) -> Response:
    # A blank for each step, which JSON allows at its start: the client sees that the daemon is working.
    body = (b" " if record is None else records.encode(record) for record in running)
    response = Response(body, content_type=routes.JSON)
    response.call_on_close(running.close)
    return response
