"""Stored blobs, and where a client gets one past the daemon."""

from opstore_daemon.protocol.records.base import DigestText, Record, SignedUrl, Size, Time


class BlobRecord(Record, frozen=True, kw_only=True):
    """A blob of one or more versions; `size` in bytes."""

    digest: DigestText
    size: Size


class Blobs(Record, frozen=True, kw_only=True):
    """The blobs that match the query, or some of them if there are many."""

    blobs: tuple[BlobRecord, ...]


class DirectBytes(Record, frozen=True, kw_only=True):
    """Where the bytes of a version are: a GET of the `url`, also with Range, returns those with the `digest`.

    The URL is a credential for these `size` bytes until it expires: it belongs in no log, and gets no token. After
    `expires_at`, request the bytes again.
    """

    url: SignedUrl
    digest: DigestText
    size: Size
    expires_at: Time

    def __repr__(self) -> str:
        return f"<DirectBytes of {self.digest}>"
