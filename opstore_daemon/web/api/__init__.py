"""The views, a module for each noun. A view reads the request, calls one verb of the store and answers."""

from collections.abc import Iterator

from opstore_daemon.web.api import blobs, daemon, links, ops, pipelines, resolutions, sessions, tags, uploads, versions
from opstore_daemon.web.framework.routing import Route

EVERY_MODULE = (daemon, ops, versions, blobs, uploads, tags, links, pipelines, resolutions, sessions)


def every_route() -> Iterator[Route]:
    """All routes that are served, a module after the other."""
    for module in EVERY_MODULE:
        yield from module.ROUTES
