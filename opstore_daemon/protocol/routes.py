"""The paths of the HTTP API, which the daemon serves and the client requests."""

from http import HTTPStatus
from urllib.parse import quote

from opstore_daemon.protocol import errors

# The statuses of a proxy or load balancer that reaches no daemon.
WITHOUT_DAEMON = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

HEALTH = "/healthz"
READY = "/readyz"
STATUS = "/v1/status"
STOP = "/v1/stop"
DOCUMENT = "/v1/openapi.json"
FSCK = "/v1/fsck"
OPS = "/v1/ops"
OP = "/v1/ops/<op>"
VERSIONS = "/v1/ops/<op>/versions"
VERSION = "/v1/ops/<op>/versions/<selector>"
BYTES = "/v1/ops/<op>/versions/<selector>/bytes"
DETAILS = "/v1/ops/<op>/versions/<selector>/details"
YANK = "/v1/ops/<op>/versions/<selector>/yank"
JOURNAL = "/v1/journal"
TAGS = "/v1/tags"
TAG = "/v1/ops/<op>/tags/<tag>"
BLOBS = "/v1/blobs"
UPLOADS = "/v1/uploads"
UPLOAD = "/v1/uploads/<upload>"
PARTS = "/v1/uploads/<upload>/parts"
PART_URLS = "/v1/uploads/<upload>/parts/urls"
LINKS = "/v1/links"
VERDICT = "/v1/verdict"
PIPELINES = "/v1/pipelines"
PIPELINE = "/v1/pipelines/<pipeline>"
PIPELINE_VERDICT = "/v1/pipelines/<pipeline>/verdict"
RESOLUTION = "/v1/pipelines/<pipeline>/resolution"
CHECK = "/v1/pipelines/<pipeline>/check"
UPGRADE = "/v1/pipelines/<pipeline>/upgrade"
AFFECTED = "/v1/affected"
SET_HISTORY = "/v1/pipelines/<pipeline>/history"
NEW_RUNS = "/v1/pipelines/<pipeline>/runs"
NEW_BISECTIONS = "/v1/pipelines/<pipeline>/bisections"
BISECTIONS = "/v1/bisections"
RUNS = "/v1/runs"
RUN = "/v1/runs/<run>"
RUN_OUTPUT = "/v1/runs/<run>/output"
REMOVALS = "/v1/removals"
SESSIONS = "/v1/sessions"
GARBAGE = "/v1/gc"

# The page: at / and below PAGES. Its routes are not part of the API.
HOME = "/"
PAGES = "/ui/"
SIGN_IN = "/ui/open/<code>"
SIGN_OUT = "/ui/logout"
OP_PAGE = "/ui/ops/<op>"
VERSION_PAGE = "/ui/ops/<op>/<selector>"
DOWNLOAD = "/ui/ops/<op>/<selector>/download"
COMPARISON_PAGE = "/ui/compare"
PIPELINES_PAGE = "/ui/pipelines"
PIPELINE_PAGE = "/ui/pipelines/<pipeline>"
MATRIX_PAGE = "/ui/matrix/<op>/<other>"
MATRIX_MAP = "/ui/matrix/<op>/<other>/map.svg"
EDGE_PAGE = "/ui/edge"
RUNS_PAGE = "/ui/runs"
RUN_PAGE = "/ui/runs/<run>"
JOURNAL_PAGE = "/ui/journal"
SEARCH_PAGE = "/ui/search"

JSON = "application/json"
PROBLEM = "application/problem+json"  # RFC 9457
BYTES_TYPE = "application/octet-stream"
TEXT = "text/plain"  # always UTF-8
FORM = "multipart/form-data"  # RFC 7578
DIRECT_TYPE = "application/vnd.opstore.direct+json"  # a record that names where the bytes are
APPEND_TYPE = "application/partial-upload"  # draft-ietf-httpbis-resumable-upload, section 6

UPLOAD_OFFSET = "Upload-Offset"
IDEMPOTENCY_KEY = "Idempotency-Key"
AUTHOR = "Opstore-Author"
REQUEST_ID = "Opstore-Request-Id"
NONCE = "Opstore-Nonce"
PROOF = "Opstore-Proof"
SERVED_OP = "Opstore-Op"
SERVED_VERSION = "Opstore-Version"
SERVED_RECORD = "Opstore-Record"


def path(route: str, **parts: str) -> str:
    """Return the route with its parts filled in, percent-encoded; raises InvalidRequest if a path can't hold one.

    HTTP clients and servers drop dot segments from a path, even percent-encoded ones, and merge empty ones.
    """
    for name, value in parts.items():
        if value in ("", ".", ".."):
            raise errors.InvalidRequest(reason=f"{value!r} can't be part of a path")
        route = route.replace(f"<{name}>", quote(value, safe=":"))
    return route
