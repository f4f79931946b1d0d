"""The web page: the store as HTML, for people. It only reads, needs a session, and works without JavaScript."""

from collections.abc import Iterator

from opstore_daemon.web.framework.routing import Route
from opstore_daemon.web.page import edge, journal, ops, pipelines, search, session


def every_page() -> Iterator[Route]:
    """Yield all routes of the page."""
    for module in (session, ops, pipelines, edge, journal, search):
        yield from module.ROUTES
