"""The page: what the store answers, as HTML for people. It reads; it needs a session, and no JavaScript."""

from collections.abc import Iterator

from opstore_daemon.web.page import ops, others, pipelines, session
from opstore_daemon.web.routing import Route


def every_page() -> Iterator[Route]:
    """All routes of the page."""
    for module in (session, ops, pipelines, others):
        yield from module.ROUTES
