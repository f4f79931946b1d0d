"""Blobs, and the bytes of a version: with their digest as ETag, whole or in ranges (RFC 9110, sections 13 and 14)."""

from typing import Annotated

from flask import Response, request
from msgspec import Meta
from werkzeug.datastructures import ETags
from werkzeug.http import parse_range_header

from opstore_daemon.protocol import errors, limits, records, routes
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import Blobs, SampleText
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.web.framework.headers import (
    ACCEPT_RANGES,
    CONTENT_RANGE,
    ETAG,
    IF_NONE_MATCH,
    IF_RANGE,
    RANGE,
    SERVED_OP,
    SERVED_RECORD,
    SERVED_VERSION,
)
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, REFERENCE_ERRORS
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import (
    Api,
    ResponseSpec,
    Route,
    client_has,
    empty_response,
    json_response,
    route,
    store,
)

ROUTES: list[Route] = []
FEW = 64 * 1024  # bytes of an answer that may wait in memory for the client
TOLD = (ETAG, ACCEPT_RANGES, SERVED_OP, SERVED_VERSION, SERVED_RECORD)


class Alike(Query, frozen=True, kw_only=True):
    """Which blobs are asked for."""

    sample: Annotated[SampleText, Meta(description="Their sample.")]
    intact: Annotated[
        int, Meta(ge=0, le=1, description="1: their bytes are read, and those that are damaged left out.")
    ] = 0


@route(
    ROUTES,
    "GET",
    routes.BLOBS,
    scope="read",
    responses={200: ResponseSpec(Blobs, "Those whose sample is known: of bytes that came by an upload.")},
    raises=READ_ERRORS,
)
def listing(_api: Api, query: Alike) -> Response:
    """The blobs with a sample. A client that finds one takes the digest of what it has, which takes longer."""
    if not query.intact:
        return json_response(store().blobs(query.sample))
    # The head goes out before they are read, and a blank for each piece: JSON begins with as many as one likes. So the
    # client can read what it has meanwhile, and sees that it is not waiting in vain.
    blobs = store().verify_blobs(query.sample)
    return Response((b" " if each is None else records.encode(each) for each in blobs), content_type=routes.JSON)


@route(
    ROUTES,
    "GET",
    routes.BYTES,
    scope="read",
    headers=(RANGE, IF_RANGE, IF_NONE_MATCH),
    responses={
        200: ResponseSpec(routes.BYTES_TYPE, "The bytes.", TOLD),
        206: ResponseSpec(routes.BYTES_TYPE, "Those of the range.", (*TOLD, CONTENT_RANGE)),
        304: ResponseSpec(None, "They are the same.", TOLD),
    },
    raises=(
        *READ_ERRORS,
        *REFERENCE_ERRORS,
        errors.NotStored,
        errors.RangeNotSatisfiable,
        errors.BlobDamaged,
        errors.StorageFailed,
    ),
)
def read(_api: Api, op: str, selector: str) -> Response:
    """The bytes of a version."""
    # They go out through the server's `wsgi.file_wrapper`, in pieces, without a copy of the whole.
    version = store().show(f"{check_name(op)}@{selector}")
    if version.digest is None or version.size is None:
        raise errors.NotStored(op=op, version=version.version)
    headers = {
        ETAG.name: f'"{version.digest}"',
        ACCEPT_RANGES.name: "bytes",
        SERVED_OP.name: version.op,
        SERVED_VERSION.name: version.version,
    }
    told = records.in_ascii(version)
    if len(told) <= limits.MAX_RECORD_HEADER:
        headers[SERVED_RECORD.name] = told
    if client_has(version.digest):
        return empty_response(304, headers)
    asked = _range(version.digest, version.size)
    start, stop = asked or (0, version.size)
    if asked is not None:
        headers[CONTENT_RANGE.name] = f"bytes {start}-{stop - 1}/{version.size}"
    headers["Content-Length"] = str(stop - start)
    reader = store().read(version, asked)
    return Response(  # which closes the reader
        _wrapped(reader),
        206 if asked is not None else 200,
        headers,
        content_type=routes.BYTES_TYPE,
        direct_passthrough=True,
    )


def _range(digest: str, size: int) -> tuple[int, int] | None:
    """The one range that was asked for, as (start, stop), or None for the whole."""
    text, condition = request.headers.get(RANGE.name), request.headers.get(IF_RANGE.name)
    if text is None or request.method != "GET":  # RFC 9110, 14.2: no other method has ranges
        return None
    if condition is not None and condition.strip() != ETags([digest]).to_header():
        return None
    asked = parse_range_header(text)
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None  # several ranges may be answered by the whole
    if asked.ranges[0] == (0, None) and not size:
        return None  # all of nothing: no range can say so
    if asked.ranges[0][0] < -size:  # the last so many bytes, of fewer: all of them
        return 0, size
    found = asked.range_for_length(size)
    if found is None:
        raise errors.RangeNotSatisfiable(range=text[:100], size=size)
    return found


def _wrapped(reader: BlobReader) -> BlobReader:
    wrapper = request.environ.get("opstore.file_wrapper")
    # A few bytes go out with the head; more of them by the loop, so that no thread waits for a slow client.
    return reader if wrapper is None or reader.stop - reader.start <= FEW else wrapper(reader)
