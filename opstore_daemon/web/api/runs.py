"""Runs of commands on sets of versions."""

import re
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import NewRun, RecordedRun, RunRecord, RunResult, Runs
from opstore_daemon.protocol.references import Reference
from opstore_daemon.web.framework.headers import LOCATION
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, REFERENCE_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import CountedPage
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []
_POSITION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class RunsQuery(CountedPage, frozen=True, kw_only=True):
    """Which runs to list."""

    pipeline: Annotated[PipelineName, Meta(description="Only runs of this pipeline.")] | None = None
    version: Annotated[Reference, Meta(description="Only runs of sets with this version.")] | None = None
    set: Annotated[Digest, Meta(description="Only runs of the set with this digest.")] | None = None
    result: Annotated[RunResult, Meta(description="Only runs with this result.")] | None = None
    command: (
        Annotated[
            Digest,
            Meta(description="Only runs of this command: the SHA-256 of the JSON list of its words, without blanks."),
        ]
        | None
    ) = None
    script: Annotated[Digest, Meta(description="Only runs of the script with this digest.")] | None = None


@route(
    ROUTES,
    "POST",
    routes.NEW_RUNS,
    scope="write",
    responses={201: ResponseSpec(RecordedRun, "The run, and the links that it recorded.", (LOCATION,))},
    raises=(
        *WRITE_ERRORS,
        *REFERENCE_ERRORS,
        errors.InvalidDigest,
        errors.PipelineNotFound,
        errors.PipelineChanged,
    ),
)
def record(_api: Api, pipeline: PipelineName, body: NewRun) -> Response:
    """Record a run. If it passed, each edge of its set is recorded as valid, unless it is known to be invalid."""
    recorded = store().record_run(pipeline, body)
    location = {LOCATION.name: routes.path(routes.RUN, run=str(recorded.run.position))}
    return json_response(recorded, 201, location)


@route(
    ROUTES,
    "GET",
    routes.RUNS,
    scope="read",
    responses={200: ResponseSpec(Runs, "The page.")},
    raises=(*READ_ERRORS, *REFERENCE_ERRORS, errors.InvalidDigest, errors.PipelineNotFound),
)
def listing(_api: Api, query: RunsQuery) -> Response:
    """List runs, newest first. A page may have fewer rows than `limit`."""
    page = store().runs_page(
        query.pipeline,
        query.cursor,
        query.limit,
        version=query.version,
        set_digest=query.set,
        result=query.result,
        command=query.command,
        script=query.script,
    )
    return json_response(page)


@route(
    ROUTES,
    "GET",
    routes.RUN,
    scope="read",
    responses={200: ResponseSpec(RunRecord, "The run.")},
    raises=READ_ERRORS,
)
def show(_api: Api, run: str) -> Response:
    """Return one run."""
    return json_response(store().run(_position(run)))


@route(
    ROUTES,
    "GET",
    routes.RUN_OUTPUT,
    scope="read",
    responses={200: ResponseSpec(routes.TEXT, "The beginning and the end of what the command printed.")},
    raises=READ_ERRORS,
)
def output(_api: Api, run: str) -> Response:
    """Return what the store keeps of the output of a run."""
    return Response(store().run_output(_position(run)).encode(), content_type=f"{routes.TEXT}; charset=utf-8")


def _position(text: str) -> int:
    """Return the position in the path; raise RunNotFound for what is not one."""
    if _POSITION.fullmatch(text) is None:
        raise errors.RunNotFound(run=text[:50])
    return int(text)
