"""Uploads: create, append at the offset, ask for the offset (draft-ietf-httpbis-resumable-upload)."""

from contextlib import closing

from flask import Response, request

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import NewUpload, UnfinishedUploads, Upload
from opstore_daemon.web.framework.headers import LOCATION, OFFSET, UPLOAD_OFFSET
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, STORAGE_ERRORS
from opstore_daemon.web.framework.query_parameters import Page
from opstore_daemon.web.framework.routing import (
    Api,
    ResponseSpec,
    Route,
    credential,
    empty_response,
    json_response,
    route,
    store,
)
from opstore_daemon.web.request_values import parse_count

ROUTES: list[Route] = []
UPLOAD_WRITER = "opstore.taken_in"  # in the WSGI environment: the writer that took the body in before the app ran
STANDS = ResponseSpec(Upload, "How far the upload is.", (OFFSET,))


@route(
    ROUTES,
    "POST",
    routes.UPLOADS,
    scope="write",
    responses={201: ResponseSpec(Upload, "The upload was made.", (OFFSET, LOCATION))},
    raises=STORAGE_ERRORS,
)
def create(_api: Api, body: NewUpload) -> Response:
    """A new upload."""
    made = store().create_upload(credential().owner, body.size)
    return _told(made, 201, {LOCATION.name: routes.path(routes.UPLOAD, upload=made.upload)})


@route(
    ROUTES,
    "GET",
    routes.UPLOADS,
    scope="write",
    responses={200: ResponseSpec(UnfinishedUploads, "The page.")},
    raises=STORAGE_ERRORS,
)
def listing(_api: Api, query: Page) -> Response:
    """A page of the asker's own uploads that no version was made of yet. It takes none of them over."""
    found = store().uploads.page(credential().owner, query.cursor, query.limit)
    more = found[-1].upload if len(found) == query.limit else None
    return json_response(UnfinishedUploads(uploads=tuple(found), next_cursor=more))


@route(ROUTES, "GET", routes.UPLOAD, scope="write", responses={200: STANDS}, raises=STORAGE_ERRORS)
def offset(_api: Api, upload: str) -> Response:
    """How far it is. Whoever asks becomes the only one who may append."""
    return _told(store().uploads.claim(upload, credential().owner))


@route(
    ROUTES,
    "PATCH",
    routes.UPLOAD,
    scope="write",
    takes=routes.APPEND_TYPE,
    headers=(UPLOAD_OFFSET,),
    responses={200: STANDS},
    raises=(*READ_ERRORS, errors.StorageFailed, errors.UploadNotOpen, errors.OffsetMismatch),
)
def append(_api: Api, upload: str) -> Response:
    """Bytes at the offset."""
    # intake.py has taken them in already where it runs; elsewhere they are read here.
    writer = request.environ.get(UPLOAD_WRITER)
    if writer is None:
        if "Transfer-Encoding" in request.headers and not request.environ.get("wsgi.input_terminated"):
            raise errors.LengthRequired  # this server hands over no body whose length it does not know
        at = parse_count(request.headers.get(UPLOAD_OFFSET.name), UPLOAD_OFFSET.name)
        writer = store().uploads.writer(upload, credential().owner, at, request.content_length)
        with closing(writer):
            while piece := request.stream.read(READ_SIZE):
                writer.append(piece)
    writer.close()  # before the answer: whoever has it may append at once
    return _told(writer.record())


@route(
    ROUTES,
    "DELETE",
    routes.UPLOAD,
    scope="write",
    responses={204: ResponseSpec(None, "It was thrown away.")},
    raises=STORAGE_ERRORS,
)
def discard(_api: Api, upload: str) -> Response:
    """Throws it away."""
    store().discard_upload(upload, credential().owner)
    return empty_response(204)


def _told(upload: Upload, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_response(upload, status, {**(headers or {}), OFFSET.name: str(upload.offset)})
