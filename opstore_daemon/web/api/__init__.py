"""The views of the HTTP API, one module per noun. A view reads the request and calls one operation of the store."""

from collections.abc import Iterator

from opstore_daemon.web.api import (
    bisections,
    blobs,
    collection,
    daemon,
    fsck,
    journal,
    links,
    ops,
    pipelines,
    removals,
    resolutions,
    runs,
    sessions,
    tags,
    uploads,
    versions,
)
from opstore_daemon.web.framework.routing import ApiRoute

EVERY_MODULE = (
    daemon,
    ops,
    versions,
    blobs,
    uploads,
    tags,
    links,
    pipelines,
    resolutions,
    runs,
    bisections,
    removals,
    journal,
    fsck,
    sessions,
    collection,
)


def every_route() -> Iterator[ApiRoute]:
    """Yield all routes of the API, module by module."""
    for module in EVERY_MODULE:
        yield from module.ROUTES
