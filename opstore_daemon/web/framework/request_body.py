"""Read the body of a request other than an append: JSON, or a form (RFC 7578) of JSON and bytes."""

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from opstore_daemon.protocol import errors, limits, routes

RECORD, BYTES = "version", "bytes"
PARTS = {RECORD: routes.JSON, BYTES: routes.BYTES_TYPE}
LIMITS = {routes.JSON: limits.MAX_JSON, routes.FORM: limits.MAX_FORM}  # bytes of a body, by its type


def read_form(content_type: str, body: bytes) -> tuple[bytes, bytes]:
    """Return the record and the bytes in a form; raises InvalidRequest or TooLarge.

    The form has to have each part once, with its own type, and no other part.
    """
    try:
        parts = _read_parts(parse_options_header(content_type)[1].get("boundary", "").encode("latin-1"), body)
    except (ValueError, RequestEntityTooLarge):
        expected = " and ".join(f"{name}, as {content}" for name, content in PARTS.items())
        raise errors.InvalidRequest(reason=f"its parts have to be {expected}, each once") from None
    record, data = parts[RECORD], parts[BYTES]
    bounds = (("the JSON", record, limits.MAX_JSON), ("the bytes", data, limits.SMALL_PUSH))
    for what, part, limit in bounds:
        if len(part) > limit:
            raise errors.TooLarge(what=what, size=len(part), limit=limit)
    return record, data


def _read_parts(boundary: bytes, body: bytes) -> dict[str, bytes]:
    if not boundary:
        raise ValueError("there is no boundary")
    # Not Flask's `request.form`: it takes a part for text unless it has a filename, and replaces invalid UTF-8.
    decoder = MultipartDecoder(boundary, max_parts=len(PARTS))
    decoder.receive_data(body)
    decoder.receive_data(None)
    parts: dict[str, bytes] = {}
    name = None
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, Field | File):
            name = event.name
            content = parse_options_header(event.headers.get("Content-Type"))[0].lower()
            if name in parts or PARTS.get(name) != content:
                raise ValueError("an unknown or repeated part")
            parts[name] = b""
        elif isinstance(event, Data) and name is not None:
            parts[name] += event.data
    if parts.keys() != PARTS.keys():
        raise ValueError("a part is missing")
    return parts
