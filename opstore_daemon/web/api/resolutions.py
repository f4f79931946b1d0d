"""Resolutions of pipelines, their locks, and what a version affects."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Affected, Check, Lock, Resolution, Upgrade
from opstore_daemon.protocol.references import Reference
from opstore_daemon.web.framework.possible_errors import LOCK_ERRORS, READ_ERRORS, REFERENCE_ERRORS
from opstore_daemon.web.framework.query_parameters import AsOf, Query, Use
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
# Of each search of this module, which has an error of its own for too much work.
_SEARCH_ERRORS = (*READ_ERRORS, *REFERENCE_ERRORS, errors.PipelineNotFound, errors.TooManySearches)
_RESOLUTION = {200: ResponseSpec(Resolution, "The resolution, or the reason that there is none.")}


class UpgradeQuery(Query, frozen=True, kw_only=True):
    """The state to compute a resolution in, and how long that may take."""

    as_of: AsOf | None = None
    timeout: (
        Annotated[
            int, Meta(ge=1, le=limits.MAX_TIMEOUT, description="Seconds after which to end with ResolutionTooHard.")
        ]
        | None
    ) = None


class ResolutionQuery(UpgradeQuery, frozen=True, kw_only=True):
    """Which resolution to compute."""

    use: Use = ()


class AffectedQuery(Query, frozen=True, kw_only=True):
    """The version, and where to look."""

    reference: Annotated[Reference, Meta(description="The version.")]
    pipeline: Annotated[PipelineName, Meta(description="Only ops of this pipeline.")] | None = None
    as_of: AsOf | None = None


@route(
    ROUTES,
    "GET",
    routes.RESOLUTION,
    scope="read",
    responses=_RESOLUTION,
    raises=(*_SEARCH_ERRORS, errors.ResolutionTooHard),
)
def resolve(_api: Api, pipeline: PipelineName, query: ResolutionQuery) -> Response:
    """Return the newest versions of the pipeline's ops that are valid with one another."""
    found = store().resolve(
        pipeline, use=query.use, as_of=query.as_of, timeout=query.timeout, is_cancelled=is_client_gone()
    )
    return json_response(found)


@route(
    ROUTES,
    "POST",
    routes.UPGRADE,
    scope="read",
    responses=_RESOLUTION,
    raises=(*_SEARCH_ERRORS, *LOCK_ERRORS, errors.ResolutionTooHard),
)
def upgrade(_api: Api, pipeline: PipelineName, query: UpgradeQuery, body: Upgrade) -> Response:
    """Return the resolution that upgrades an op of a lock; other ops change only if they have to."""
    found = store().resolve(
        pipeline,
        use=body.use,
        lock=body.lock,
        upgrade=body.op,
        as_of=query.as_of,
        timeout=query.timeout,
        is_cancelled=is_client_gone(),
    )
    return json_response(found)


@route(
    ROUTES,
    "POST",
    routes.CHECK,
    scope="read",
    responses={200: ResponseSpec(Check, "Whether the lock holds, and what does not.")},
    raises=(*READ_ERRORS, errors.InvalidName, *LOCK_ERRORS, errors.PipelineNotFound),
)
def check(_api: Api, pipeline: PipelineName, body: Lock) -> Response:
    """Check whether a lock of the pipeline still holds."""
    return json_response(store().check_lock(pipeline, body))


@route(
    ROUTES,
    "GET",
    routes.AFFECTED,
    scope="read",
    responses={200: ResponseSpec(Affected, "The ops, the direct ones first.")},
    raises=(*_SEARCH_ERRORS, errors.TooMuchWork),
)
def affected(_api: Api, query: AffectedQuery) -> Response:
    """Return the downstream ops that have to be retrained for a version."""
    found = store().affected(query.reference, pipeline=query.pipeline, as_of=query.as_of, is_cancelled=is_client_gone())
    return json_response(found)
