"""The headers that routes read and send, each declared once: its name, its form, and what it is for."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.web.guards import HIGHEST_COUNT

Count = Annotated[int, Meta(ge=0, le=HIGHEST_COUNT)]
_Name = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class Header:
    """A header. `always`: a request needs it, an answer has it."""

    name: str
    says: str
    kind: Any = str
    always: bool = True


# --- of requests ------------------------------------------------------------------------------------------------

GIVEN_ID = Header(
    routes.REQUEST_ID,
    "A name for this request in the daemon's log, of 1 to 64 of `A-Za-z0-9._-`; for any other one is made.",
    always=False,
)
KEY = Header(
    routes.IDEMPOTENCY_KEY,
    "Repeated with the same key, the request has the effect of one, and the same answer.",
    Annotated[str, Meta(pattern=r"^[ -~]{1,128}$")],
    always=False,
)
OFFSET = Header(routes.UPLOAD_OFFSET, "Where the bytes begin: how far the upload is.", Count)
RANGE = Header("Range", "`bytes=FIRST-LAST`: one range; where there are several, all bytes are sent.", always=False)
IF_RANGE = Header("If-Range", "The `ETag` of what one has a part of: else all bytes are sent.", always=False)
IF_NONE_MATCH = Header("If-None-Match", "The `ETag` of what one has, or `*`: 304 where it is the same.", always=False)
NONCE = Header(
    routes.NONCE,
    "32 to 128 hex digits: asks for a proof that the daemon knows the token.",
    Annotated[str, Meta(pattern=r"^[0-9a-f]{32,128}$")],
    always=False,
)

# --- of answers -------------------------------------------------------------------------------------------------

ID = Header(
    routes.REQUEST_ID,
    "The name of this request in the daemon's log.",
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")],
)
ETAG = Header("ETag", "The digest, in quotes.", Annotated[str, Meta(pattern=r'^"sha256:[0-9a-f]{64}"$')])
VERDICT_ETAG = Header(
    "ETag", "The position of the last entry that the answer may depend on.", Annotated[str, Meta(pattern=r'^"[0-9]+"$')]
)
LOCATION = Header("Location", "The path of what was made.", Annotated[str, Meta(pattern="^/v1/")])
HELD = Header(routes.UPLOAD_OFFSET, "How far the upload is.", Count)
RANGES = Header("Accept-Ranges", "Ranges are answered.", Annotated[str, Meta(pattern="^bytes$")])
CONTENT_RANGE = Header(
    "Content-Range",
    "Which bytes of how many: `bytes FIRST-LAST/SIZE`; where they lie outside, `bytes */SIZE`.",
    Annotated[str, Meta(pattern=r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$")],
)
SERVED_OP = Header(routes.SERVED_OP, "The op that was served.", _Name)
SERVED_VERSION = Header(routes.SERVED_VERSION, "The version that was served.", _Name)
SERVED_RECORD = Header(
    routes.SERVED_RECORD,
    "All that is known of the version that was served, as JSON in ASCII; left out where that is longer than 4 KiB.",
    always=False,
)
PROOF = Header(
    routes.PROOF,
    "The HMAC-SHA-256, by the SHA-256 of the token, of `opstore-proof:HOST:NONCE`, in hex, of each token; only to a "
    "nonce, and only where the `Host` is where the daemon listens, or one that it was told of.",
    Annotated[str, Meta(pattern="^[0-9a-f]{64}(, [0-9a-f]{64})*$")],
    always=False,
)

# --- of refusals, by their status -------------------------------------------------------------------------------

OF_REFUSALS = {
    401: Header("WWW-Authenticate", "`Bearer`.", _Name),
    405: Header("Allow", "The methods of this path.", _Name),
    416: CONTENT_RANGE,
    503: Header("Retry-After", "Seconds.", Count),
}
