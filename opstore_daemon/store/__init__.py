"""The store: versions, uploads, links, verdicts and pipelines, each in its module, and the verbs over them."""

from opstore_daemon.store.store import Store

__all__ = ["Store"]
