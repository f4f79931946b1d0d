"""The page: what the store answers, as HTML for people. It reads; it needs a session, and no JavaScript."""

from collections.abc import Iterator

from opstore_daemon.web.framework.routing import Route
from opstore_daemon.web.page import journal, ops, pipelines, session


def every_page() -> Iterator[Route]:
    """All routes of the page."""
    for module in (session, ops, pipelines, journal):
        yield from module.ROUTES
