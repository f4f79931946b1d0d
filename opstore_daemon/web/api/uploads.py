"""Uploads: create one, get its offset, append at the offset (draft-ietf-httpbis-resumable-upload)."""

from contextlib import suppress

from flask import Response, request

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import NewParts, NewUpload, PartUrls, SentParts, UnfinishedUploads, Upload
from opstore_daemon.store.ingest.writer import Writer
from opstore_daemon.web.framework.headers import LOCATION, OFFSET, UPLOAD_OFFSET
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, STORAGE_ERRORS
from opstore_daemon.web.framework.query_parameters import Page
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    credential,
    empty_response,
    json_response,
    route,
    store,
)
from opstore_daemon.web.request_values import parse_count

ROUTES: list[ApiRoute] = []
UPLOAD_WRITER = "opstore.upload_writer"  # key in the WSGI environment of the writer that has stored the body already
PART_ERRORS = (
    *STORAGE_ERRORS,
    errors.InvalidDigest,
    errors.UploadNotOpen,
    errors.OffsetMismatch,
    errors.NotVerified,
    errors.TooManyReads,
)
STATE = ResponseSpec(Upload, "The upload, with its current offset.", (OFFSET,))


@route(
    ROUTES,
    "POST",
    routes.UPLOADS,
    scope="write",
    responses={201: ResponseSpec(Upload, "The upload was created.", (OFFSET, LOCATION))},
    raises=STORAGE_ERRORS,
)
def create(_api: Api, body: NewUpload) -> Response:
    """Create an upload."""
    created = store().create_upload(credential().owner, body.size)
    return _with_offset(created, 201, {LOCATION.name: routes.path(routes.UPLOAD, upload=created.upload)})


@route(
    ROUTES,
    "GET",
    routes.UPLOADS,
    scope="write",
    responses={200: ResponseSpec(UnfinishedUploads, "The page.")},
    raises=STORAGE_ERRORS,
)
def listing(_api: Api, query: Page) -> Response:
    """List the unfinished uploads of this token. Unlike a GET of one upload, this does not claim them."""
    found = store().uploads.page(credential().owner, query.cursor, query.limit)
    next_cursor = found[-1].upload if len(found) == query.limit else None
    return json_response(UnfinishedUploads(uploads=tuple(found), next_cursor=next_cursor))


@route(
    ROUTES,
    "GET",
    routes.UPLOAD,
    scope="write",
    responses={200: STATE},
    raises=(*STORAGE_ERRORS, errors.NotVerified, errors.TooManyReads),
)
def claim(_api: Api, upload: str) -> Response:
    """Return the offset of an upload, and claim it: only the client that claimed it last may append."""
    return _with_offset(store().uploads.claim(upload, credential().owner))


@route(
    ROUTES,
    "PATCH",
    routes.UPLOAD,
    scope="write",
    takes=routes.APPEND_TYPE,
    has_offset=True,
    headers=(UPLOAD_OFFSET,),
    responses={200: STATE},
    raises=(*READ_ERRORS, errors.StorageFailed, errors.UploadNotOpen, errors.OffsetMismatch),
)
def append(_api: Api, upload: str) -> Response:
    """Append bytes at the offset. If the disk is full (507), the upload ends, which frees its bytes."""
    # Our own server has passed the body on before this view runs; behind other servers it is read here.
    writer = request.environ.get(UPLOAD_WRITER)
    try:
        if writer is None:
            writer = _read_into(upload)
        return _with_offset(writer.finish())  # before the response, after which the client may append again
    finally:
        if writer is not None:
            writer.end_if_refused()


def _read_into(upload: str) -> Writer:
    if "Transfer-Encoding" in request.headers and not request.environ.get("wsgi.input_terminated"):
        raise errors.LengthRequired  # this server can't pass on a body of unknown length
    offset = parse_count(request.headers.get(UPLOAD_OFFSET.name), UPLOAD_OFFSET.name)
    writer = store().uploads.writer(upload, credential().owner, offset, request.content_length)
    try:
        while piece := request.stream.read(READ_SIZE):
            writer.append(piece)
    except BaseException:
        with suppress(errors.OpStoreError):  # the client can resume from what is stored
            writer.finish()
        writer.end_if_refused()
        raise
    return writer


@route(
    ROUTES,
    "POST",
    routes.PART_URLS,
    scope="write",
    has_offset=True,
    responses={200: ResponseSpec(PartUrls, "Where to send them.")},
    raises=PART_ERRORS,
)
def part_urls(_api: Api, upload: str, body: NewParts) -> Response:
    """Return URLs of the object store for the next parts, if the upload has a `part_size`. They belong in no log."""
    return json_response(store().direct_parts.urls(upload, credential().owner, body))


@route(
    ROUTES,
    "POST",
    routes.PARTS,
    scope="write",
    has_offset=True,
    responses={200: STATE},
    raises=(*PART_ERRORS, errors.PartNotStored),
)
def add_parts(_api: Api, upload: str, body: SentParts) -> Response:
    """Report parts that the object store has: the offset moves behind them."""
    return _with_offset(store().direct_parts.add(upload, credential().owner, body))


@route(
    ROUTES,
    "DELETE",
    routes.UPLOAD,
    scope="write",
    responses={204: ResponseSpec(None, "The upload was discarded.")},
    raises=STORAGE_ERRORS,
)
def discard(_api: Api, upload: str) -> Response:
    """Discard an upload and its bytes."""
    store().discard_upload(upload, credential().owner)
    return empty_response(204)


def _with_offset(upload: Upload, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_response(upload, status, {**(headers or {}), OFFSET.name: str(upload.offset)})
