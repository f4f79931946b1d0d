"""The headers that routes read and send, each declared once: its name, its type and its purpose."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.web.request_values import MAX_INTEGER

Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_Name = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class Header:
    """A header. `required`: a request has to send it, or every response has it."""

    name: str
    description: str
    value_type: Any = str
    required: bool = True


# --- of requests ------------------------------------------------------------------------------------------------

REQUEST_ID = Header(
    routes.REQUEST_ID,
    "A name for this request in the daemon's log, of 1 to 64 of `A-Za-z0-9._-`; any other value is replaced.",
    required=False,
)
IDEMPOTENCY_KEY = Header(
    routes.IDEMPOTENCY_KEY,
    "Makes the request idempotent: repeated with the same key, it changes nothing and has the same response.",
    Annotated[str, Meta(pattern=r"^[ -~]{1,128}$")],
    required=False,
)
AUTHOR = Header(
    routes.AUTHOR,
    "Who makes the change, for the journal: 1 to 200 printable characters. ASCII is written as it is, other text as a "
    'Display String (RFC 9651): `%"Zo%c3%ab"`. It is a statement, not a proof.',
    Annotated[str, Meta(pattern=r'^((?!%")[!-~]([ -~]{0,198}[!-~])?|%"([ !#$&-~]|%[0-9a-f]{2})+")$')],
    required=False,
)
UPLOAD_OFFSET = Header(
    routes.UPLOAD_OFFSET, "The offset of the first byte, which has to be the current offset of the upload.", Count
)
RANGE = Header("Range", "`bytes=FIRST-LAST`: one range; if there are several, all bytes are sent.", required=False)
IF_RANGE = Header(
    "If-Range", "The `ETag` of the part that the client has: if it differs, all bytes are sent.", required=False
)
IF_NONE_MATCH = Header(
    "If-None-Match", "The `ETag` that the client has, or `*`: 304 if it is still the same.", required=False
)
NONCE = Header(
    routes.NONCE,
    "32 to 128 hex digits: asks the daemon to prove that it knows the token.",
    Annotated[str, Meta(pattern=r"^[0-9a-f]{32,128}$")],
    required=False,
)

# --- of responses -----------------------------------------------------------------------------------------------

RESPONSE_ID = Header(
    routes.REQUEST_ID,
    "The name of this request in the daemon's log.",
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")],
)
ETAG = Header("ETag", "The digest, in quotes.", Annotated[str, Meta(pattern=r'^"sha256:[0-9a-f]{64}"$')])
VERDICT_ETAG = Header(
    "ETag",
    "The position and the time of the last entry that the verdict may depend on, in quotes.",
    Annotated[str, Meta(pattern=r'^"[0-9]+-[0-9a-f]+"$')],
)
LOCATION = Header("Location", "The path of what was created.", Annotated[str, Meta(pattern="^/v1/")])
OFFSET = Header(routes.UPLOAD_OFFSET, "The current offset of the upload, in bytes.", Count)
ACCEPT_RANGES = Header("Accept-Ranges", "Ranges are supported.", Annotated[str, Meta(pattern="^bytes$")])
CONTENT_RANGE = Header(
    "Content-Range",
    "Which bytes of how many: `bytes FIRST-LAST/SIZE`; for a range outside, `bytes */SIZE`.",
    Annotated[str, Meta(pattern=r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$")],
)
SERVED_OP = Header(routes.SERVED_OP, "The op of the version.", _Name)
SERVED_VERSION = Header(routes.SERVED_VERSION, "The number of the version.", _Name)
SERVED_RECORD = Header(
    routes.SERVED_RECORD,
    "The record of the version, as JSON in ASCII; omitted if it is longer than 4 KiB.",
    required=False,
)
PROOF = Header(
    routes.PROOF,
    "The HMAC-SHA-256, keyed with the SHA-256 of the token, of `opstore-proof:HOST:NONCE`, in hex, for each token. "
    "Sent only in response to a nonce, and only if `Host` is where the daemon listens or a name that it accepts.",
    Annotated[str, Meta(pattern="^[0-9a-f]{64}(, [0-9a-f]{64})*$")],
    required=False,
)

# --- of error responses, by status ------------------------------------------------------------------------------

OF_ERRORS = {
    401: Header("WWW-Authenticate", "`Bearer`.", _Name),
    405: Header("Allow", "The methods of this path.", _Name),
    416: CONTENT_RANGE,
    503: Header("Retry-After", "Seconds.", Count),
}
