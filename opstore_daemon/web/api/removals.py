"""Removals of versions and ops."""

from flask import Response

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import NewRemoval, Removal
from opstore_daemon.web.framework.possible_errors import REFERENCE_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    is_client_gone,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []


@route(
    ROUTES,
    "POST",
    routes.REMOVALS,
    scope="admin",
    responses={200: ResponseSpec(Removal, "What was removed or, in a dry run, would be.")},
    raises=(
        *WRITE_ERRORS,
        *REFERENCE_ERRORS,
        errors.StillNeeded,
        errors.OpHasVersions,
        errors.OpInPipeline,
        errors.TooManySearches,
    ),
)
def remove(_api: Api, body: NewRemoval) -> Response:
    """Remove versions, or ops by their names: all of them, or none."""
    removed = store().remove(
        body.references,
        all_versions=body.all_versions,
        force=body.force,
        dry_run=body.dry_run,
        reason=body.reason,
        is_cancelled=is_client_gone(),
    )
    return json_response(removed)
