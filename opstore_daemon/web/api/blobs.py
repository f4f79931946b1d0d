"""Blobs, and the bytes of a version, with their digest as ETag, whole or in ranges (RFC 9110, sections 13 and 14)."""

from typing import Annotated

from flask import Response, request
from msgspec import Meta
from werkzeug.datastructures import ETags
from werkzeug.http import parse_range_header

from opstore_daemon.protocol import errors, limits, records, routes
from opstore_daemon.protocol.records import Blobs, DirectBytes, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.samples import Sample
from opstore_daemon.web.framework.blob_body import blob_body
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
    ApiRoute,
    ResponseSpec,
    client_accepts,
    client_has,
    empty_response,
    is_client_gone,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []
DIRECT_FROM = 8 * 1024 * 1024  # bytes from which a pull past the daemon is worth its second request
BYTES_HEADERS = (ETAG, ACCEPT_RANGES, SERVED_OP, SERVED_VERSION, SERVED_RECORD)


class BlobsQuery(Query, frozen=True, kw_only=True):
    """Which blobs to list."""

    sample: Annotated[Sample, Meta(description="The sample of the blobs.")]
    intact: Annotated[
        int, Meta(ge=0, le=1, description="1: verify them by reading their bytes, and list only intact ones.")
    ] = 0


@route(
    ROUTES,
    "GET",
    routes.BLOBS,
    scope="read",
    responses={200: ResponseSpec(Blobs, "The blobs. Only bytes that were uploaded have a sample.")},
    raises=(*READ_ERRORS, errors.TooManyReads),
)
def listing(_api: Api, query: BlobsQuery) -> Response:
    """List the blobs with a sample. A client that finds some computes the digest of its own bytes, which is slower."""
    if not query.intact:
        return json_response(store().blobs(query.sample))
    # The head is sent before the blobs are read, and then a blank for each piece, which JSON allows at its start. So
    # the client can hash its own bytes meanwhile, and sees that the daemon is working.
    verification = store().verify_blobs(query.sample, is_client_gone())
    body = (b" " if record is None else records.encode(record) for record in verification)
    response = Response(body, content_type=routes.JSON)
    response.call_on_close(verification.close)
    return response


@route(
    ROUTES,
    "GET",
    routes.BYTES,
    scope="read",
    headers=(RANGE, IF_RANGE, IF_NONE_MATCH),
    responses={
        200: ResponseSpec(
            routes.BYTES_TYPE,
            "The bytes; or where they are in the object store, if `Accept` names that type, and they are many. Any "
            "range of them is there.",
            BYTES_HEADERS,
            accepted=(routes.DIRECT_TYPE, DirectBytes),
        ),
        206: ResponseSpec(routes.BYTES_TYPE, "The bytes of the range.", (*BYTES_HEADERS, CONTENT_RANGE)),
        304: ResponseSpec(None, "The client has these bytes.", BYTES_HEADERS),
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
def read(_api: Api, reference: Reference) -> Response:
    """Return the bytes of a version."""
    version = store().show(reference)
    if version.digest is None or version.size is None:
        raise errors.NotStored(op=version.op, version=version.version)
    headers = {
        ETAG.name: f'"{version.digest}"',
        ACCEPT_RANGES.name: "bytes",
        SERVED_OP.name: version.op,
        SERVED_VERSION.name: version.version,
    }
    record = records.in_ascii(version)
    if len(record) <= limits.MAX_RECORD_HEADER:
        headers[SERVED_RECORD.name] = record
    if client_has(version.digest):
        return empty_response(304, headers)
    range_ = _range(version.digest, version.size)
    start, stop = range_ or (0, version.size)
    if range_ is not None:
        headers[CONTENT_RANGE.name] = f"bytes {start}-{stop - 1}/{version.size}"
    place = _place(version, stop - start)
    if place is not None:
        headers.pop(CONTENT_RANGE.name, None)
        return Response(records.encode(place), 200, headers, content_type=routes.DIRECT_TYPE)
    headers["Content-Length"] = str(stop - start)
    reader = store().read(version, range_)
    return Response(  # which closes the reader
        blob_body(reader),
        206 if range_ is not None else 200,
        headers,
        content_type=routes.BYTES_TYPE,
        direct_passthrough=True,
    )


def _place(version: VersionRecord, count: int) -> DirectBytes | None:
    """Return where the bytes are past the daemon, if the client asks for that and wants as many as it pays for."""
    if count < DIRECT_FROM or request.method != "GET" or not client_accepts(routes.DIRECT_TYPE):
        return None
    return store().direct(version)


def _range(digest: str, size: int) -> tuple[int, int] | None:
    """Return the requested range as (start, stop); None for all bytes."""
    text, condition = request.headers.get(RANGE.name), request.headers.get(IF_RANGE.name)
    if text is None or request.method != "GET":  # no other method has ranges (RFC 9110, 14.2)
        return None
    if condition is not None and condition.strip() != ETags([digest]).to_header():
        return None
    requested = parse_range_header(text)
    if requested is None or requested.units != "bytes" or len(requested.ranges) != 1:
        return None  # all bytes are a valid response to several ranges
    if requested.ranges[0] == (0, None) and not size:
        return None  # Content-Range can't express all of nothing
    if requested.ranges[0][0] < -size:  # more of the last bytes than there are
        return 0, size
    found = requested.range_for_length(size)
    if found is None:
        raise errors.RangeNotSatisfiable(range=text[:100], size=size)
    return found
