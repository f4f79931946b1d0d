"""The store of versions, links and pipelines. store.py describes how it works."""

from opstore_daemon.store.store import Store

__all__ = ["Store"]
