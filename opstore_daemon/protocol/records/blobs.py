"""Bytes that the store has."""

from opstore_daemon.protocol.records.base import Record


class BlobRecord(Record, frozen=True, kw_only=True):
    """A blob that versions have; `size` in bytes."""

    digest: str
    size: int


class Blobs(Record, frozen=True, kw_only=True):
    """The blobs that were asked for; some of them if there are many."""

    blobs: tuple[BlobRecord, ...]
