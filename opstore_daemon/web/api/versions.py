"""Versions: list, show, push, register, edit and yank them."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import (
    ChangeVersion,
    NewVersion,
    NewYank,
    Pushed,
    VersionDetails,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import Reference
from opstore_daemon.web.framework.headers import LOCATION
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, REFERENCE_ERRORS, STORAGE_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import AsOf, CountedPage, Query
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    credential,
    is_client_gone,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []
PUSH_ERRORS = (
    *STORAGE_ERRORS,
    *REFERENCE_ERRORS,
    errors.NoVersionYet,
    errors.InvalidSubversions,
    errors.InvalidDigest,
    errors.InvalidTag,
    errors.BlobNotFound,
    errors.UploadNotFound,
    errors.UploadIncomplete,
    errors.UploadNotOpen,
    errors.DigestMismatch,
    errors.SizeMismatch,
    errors.ChecksumMismatch,
    errors.TooManyLabels,
    errors.VersionConflict,
    errors.SubversionsRemoved,
    errors.BytesYanked,
    errors.NumbersExhausted,
    errors.NotVerified,
    errors.TooManyReads,
)


class VersionsQuery(CountedPage, frozen=True, kw_only=True):
    """Which versions of an op to list."""

    valid_for: Annotated[tuple[Reference, ...], Meta(description="Only versions that are valid for all of these.")] = ()
    label: Annotated[
        tuple[LabelFilter, ...],
        Meta(description="Only versions that have all these labels, each `KEY` or `KEY=VALUE`."),
    ] = ()
    select: Annotated[str, Meta(min_length=1, description="Only versions that this selector matches.")] | None = None
    as_of: AsOf | None = None


class AsOfQuery(Query, frozen=True, kw_only=True):
    """The time of the state to read."""

    as_of: AsOf | None = None


@route(
    ROUTES,
    "GET",
    routes.VERSIONS,
    scope="read",
    responses={200: ResponseSpec(Versions, "The page.")},
    raises=(*READ_ERRORS, *REFERENCE_ERRORS, errors.InvalidLabel, errors.TooMuchWork, errors.TooManySearches),
)
def listing(_api: Api, op: OpName, query: VersionsQuery) -> Response:
    """List versions, newest first."""
    reference = Reference.of(op, query.select)
    found = store().versions(
        reference,
        valid_for=query.valid_for,
        label=query.label,
        limit=query.limit,
        as_of=query.as_of,
        below=query.cursor,
        is_cancelled=is_client_gone(),
    )
    return json_response(found)


@route(
    ROUTES,
    "POST",
    routes.VERSIONS,
    scope="write",
    responses={
        201: ResponseSpec(Pushed, "The version was created, or received its bytes.", (LOCATION,)),
        200: ResponseSpec(Pushed, "The version exists already."),
    },
    raises=PUSH_ERRORS,
)
def add(_api: Api, op: OpName, body: NewVersion, data: bytes | None) -> Response:
    """Push or register a version: with bytes of the request, of an upload, of a stored blob, or without bytes."""
    pushed = store().add_version(op, body, credential().owner, data)
    location = {LOCATION.name: routes.path(routes.VERSION, op=op, selector=pushed.version)}
    return json_response(pushed, 201, location) if pushed.created else json_response(pushed)


@route(
    ROUTES,
    "GET",
    routes.VERSION,
    scope="read",
    responses={200: ResponseSpec(VersionRecord, "The version.")},
    raises=(*READ_ERRORS, *REFERENCE_ERRORS),
)
def show(_api: Api, reference: Reference, query: AsOfQuery) -> Response:
    """Return one version."""
    return json_response(store().show(reference, as_of=query.as_of))


@route(
    ROUTES,
    "GET",
    routes.DETAILS,
    scope="read",
    responses={200: ResponseSpec(VersionDetails, "The version and what surrounds it.")},
    raises=(*READ_ERRORS, *REFERENCE_ERRORS),
)
def details(_api: Api, reference: Reference, query: AsOfQuery) -> Response:
    """Return one version with its verdicts, and where it is the latest."""
    return json_response(store().details(reference, as_of=query.as_of))


@route(
    ROUTES,
    "PATCH",
    routes.VERSION,
    scope="write",
    responses={200: ResponseSpec(VersionRecord, "The version.")},
    raises=(*WRITE_ERRORS, *REFERENCE_ERRORS, errors.LabelNotFound, errors.TooManyLabels),
)
def change(_api: Api, reference: Reference, body: ChangeVersion) -> Response:
    """Change the message or the labels."""
    changed = store().edit(reference, message=body.message, labels=body.labels, unlabel=body.unlabel)
    return json_response(changed)


@route(
    ROUTES,
    "PUT",
    routes.YANK,
    scope="write",
    responses={200: ResponseSpec(VersionRecord, "The version.")},
    raises=(*WRITE_ERRORS, *REFERENCE_ERRORS),
)
def yank(_api: Api, reference: Reference, body: NewYank) -> Response:
    """Yank a version, or undo its yank."""
    return json_response(store().set_yank(reference, body.reason))
