"""Stored blobs."""

from opstore_daemon.protocol.records.base import DigestText, Record, Size


class BlobRecord(Record, frozen=True, kw_only=True):
    """A blob of one or more versions; `size` in bytes."""

    digest: DigestText
    size: Size


class Blobs(Record, frozen=True, kw_only=True):
    """The blobs that match the query, or some of them if there are many."""

    blobs: tuple[BlobRecord, ...]
