"""Uploads: create, append at the offset, ask for the offset (draft-ietf-httpbis-resumable-upload)."""

from contextlib import closing

from flask import Response, request

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import NewUpload, Upload
from opstore_daemon.store.blobs import PIECE
from opstore_daemon.web.guards import parse_count
from opstore_daemon.web.routing import Api, Route, answer, body, credential, parameters, route, store

ROUTES: list[Route] = []
TAKEN_IN = "opstore.taken_in"  # in the WSGI environment: the writer that took the body in before the app ran


@route(ROUTES, "POST", routes.UPLOADS, scope="write", takes=routes.JSON)
def create(_api: Api) -> Response:
    """A new upload."""
    parameters()
    return _told(store().uploads.create(credential().owner, body(NewUpload).size), 201)


@route(ROUTES, "GET", routes.UPLOAD, scope="write")
def offset(_api: Api, upload: str) -> Response:
    """How far it is. Whoever asks becomes the only one who may append."""
    parameters()
    return _told(store().uploads.take_up(upload, credential().owner))


@route(ROUTES, "PATCH", routes.UPLOAD, scope="write", takes=routes.APPEND_TYPE)
def append(_api: Api, upload: str) -> Response:
    """Bytes at the offset. intake.py has taken them in already where it runs; elsewhere they are read here."""
    parameters()
    writer = request.environ.get(TAKEN_IN)
    if writer is None:
        if "Transfer-Encoding" in request.headers and not request.environ.get("wsgi.input_terminated"):
            raise errors.LengthRequired  # this server hands over no body whose length it does not know
        at = parse_count(request.headers.get(routes.UPLOAD_OFFSET), routes.UPLOAD_OFFSET)
        writer = store().uploads.writer(upload, credential().owner, at, request.content_length)
        with closing(writer):
            while piece := request.stream.read(PIECE):
                writer.append(piece)
    writer.close()  # before the answer: whoever has it may append at once
    return _told(writer.record())


@route(ROUTES, "DELETE", routes.UPLOAD, scope="write")
def discard(_api: Api, upload: str) -> Response:
    """Throws it away."""
    parameters()
    store().uploads.discard(upload, credential().owner)
    return Response(status=204)


def _told(upload: Upload, status: int = 200) -> Response:
    response = answer(upload, status)
    response.headers[routes.UPLOAD_OFFSET] = str(upload.offset)
    if status == 201:
        response.headers["Location"] = routes.path(routes.UPLOAD, upload=upload.upload)
    return response
