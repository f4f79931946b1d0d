"""How a refusal is answered: as a problem (RFC 9457), or, of the page, as a page that says it in words."""

from opstore_daemon.protocol import errors
from opstore_daemon.web.errors import problem
from opstore_daemon.web.guards import is_page
from opstore_daemon.web.page import templating


def refusal(error: errors.OpStoreError, path: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """The status, the headers and the body that tell of the error to whoever asked for the path."""
    status, headers, body = problem(error)
    if not is_page(path):
        return status, headers, body
    others = [(name, value) for name, value in headers if name != "Content-Type"]
    return status, [*others, *templating.HEADERS.items()], templating.refusal(error).encode()
