"""Bodies that are no stream: JSON, or a form of JSON and bytes (RFC 7578), so that both come in one request."""

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from opstore_daemon.protocol import errors, limits, routes

RECORD, BYTES = "version", "bytes"
PARTS = {RECORD: routes.JSON, BYTES: routes.BYTES_TYPE}
LIMITS = {routes.JSON: limits.MAX_JSON, routes.FORM: limits.MAX_FORM}  # bytes of a body, by its type


def read_form(content_type: str, body: bytes) -> tuple[bytes, bytes]:
    """The record and the bytes of a form; raises InvalidRequest or TooLarge.

    Read strictly: each part once, of its own type, and nothing else.
    """
    try:
        found = _read(parse_options_header(content_type)[1].get("boundary", "").encode("latin-1"), body)
    except (ValueError, RequestEntityTooLarge):
        wanted = " and ".join(f"{name}, as {kind}" for name, kind in PARTS.items())
        raise errors.InvalidRequest(reason=f"its parts are to be {wanted}, each once") from None
    record, data = found[RECORD], found[BYTES]
    for what, size, limit in (("the JSON", len(record), limits.MAX_JSON), ("the bytes", len(data), limits.SMALL_PUSH)):
        if size > limit:
            raise errors.TooLarge(what=what, size=size, limit=limit)
    return record, data


def _read(boundary: bytes, body: bytes) -> dict[str, bytes]:
    if not boundary:
        raise ValueError("there is no boundary")
    # Not through Flask's `request.form`: whether a part is text hangs there on whether it has the name of a file, and
    # what is no UTF-8 in it is replaced.
    decoder = MultipartDecoder(boundary, max_parts=len(PARTS))
    decoder.receive_data(body)
    decoder.receive_data(None)
    found: dict[str, bytes] = {}
    name = None
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, Field | File):
            name = event.name
            kind = parse_options_header(event.headers.get("Content-Type"))[0].lower()
            if name in found or PARTS.get(name) != kind:
                raise ValueError("it is no part of ours")
            found[name] = b""
        elif isinstance(event, Data) and name is not None:
            found[name] += event.data
    if found.keys() != PARTS.keys():
        raise ValueError("a part is missing")
    return found
