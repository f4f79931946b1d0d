"""The views, a module for each noun. A view reads the request, calls one verb of the store and answers."""

from opstore_daemon.web.api import blobs, daemon, links, ops, pipelines, uploads, versions

EVERY_MODULE = (daemon, ops, versions, blobs, uploads, links, pipelines)
