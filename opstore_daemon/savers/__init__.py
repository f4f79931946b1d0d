"""Savers: where blobs live, by digest. They know nothing of ops, versions or hashing."""

from typing import TYPE_CHECKING, Any

from opstore_daemon.protocol import errors
from opstore_daemon.savers.base import BaseSaver, Draft
from opstore_daemon.savers.file import FileSaver
from opstore_daemon.savers.memory import MemorySaver

# The suite that a saver of your own has to pass is opstore_daemon.savers.conformance; it needs pytest.
__all__ = ["BaseSaver", "Draft", "FileSaver", "MemorySaver", "S3Saver"]

if TYPE_CHECKING:
    from opstore_daemon.savers.object_store import S3Saver as S3Saver


def __getattr__(name: str) -> Any:
    """Import what needs a library that is not installed with opstore; raise LibraryMissing."""
    if name != "S3Saver":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from opstore_daemon.savers.object_store import S3Saver
    except ImportError as error:
        what = "a saver in an object store (s3://)"
        raise errors.LibraryMissing(what=what, library="boto3", reason=str(error), extra="s3") from error
    return S3Saver
