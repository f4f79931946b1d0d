"""Savers: where blobs live, by digest. They know nothing of ops, versions or hashing."""

from opstore_daemon.savers.base import BaseSaver, Draft
from opstore_daemon.savers.file import FileSaver
from opstore_daemon.savers.memory import MemorySaver

# The suite that a saver of your own has to pass is opstore_daemon.savers.conformance; it needs pytest.
__all__ = ["BaseSaver", "Draft", "FileSaver", "MemorySaver"]
