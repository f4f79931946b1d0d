"""Uploads."""

from typing import Annotated

from msgspec import Meta

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import MAX_DIRECT_PARTS
from opstore_daemon.protocol.records.base import Cursor, Record, Request, SignedUrl, Size, Time, UploadText

PartSize = Annotated[int, Meta(ge=1, le=2**63 - 1)]
ETag = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[\x21-\x7e]+(?![\s\S])")]


class NewUpload(Request, frozen=True, kw_only=True):
    """A new upload; `size` in bytes, None if unknown."""

    size: Size | None = None


class Upload(Record, frozen=True, kw_only=True):
    """The progress of an upload: `offset` bytes of `size`, if that was declared, are stored.

    `part_size`: the client may send the bytes from `offset` on past the daemon, in parts of so many bytes, of which the
    last one has the rest. None: it sends them to the daemon.
    """

    upload: UploadText
    offset: Size
    size: Size | None
    part_size: PartSize | None = None


class NewPart(Request, frozen=True, kw_only=True):
    """A part that the client will send past the daemon: its `size` in bytes, and the digest of these bytes."""

    size: PartSize
    digest: Digest


class NewParts(Request, frozen=True, kw_only=True):
    """The next parts of an upload, of which the first begins at its `offset`."""

    offset: Size
    parts: Annotated[tuple[NewPart, ...], Meta(min_length=1, max_length=MAX_DIRECT_PARTS)]


class PartUrls(Record, frozen=True, kw_only=True):
    """The URLs of parts, in their order: a PUT of its bytes sends each, before `expires_at`.

    The header `x-amz-checksum-sha256` has the part's SHA-256 in base64: it and Content-Length are signed. A URL is a
    credential for these bytes until it expires: it belongs in no log, and gets no token.
    """

    urls: tuple[SignedUrl, ...]
    expires_at: Time

    def __repr__(self) -> str:
        return f"<PartUrls of {len(self.urls)} parts>"


class SentPart(NewPart, frozen=True, kw_only=True):
    """A part that the object store has; `etag` is the ETag with which it has answered."""

    etag: ETag


class SentParts(Request, frozen=True, kw_only=True):
    """Parts of an upload that the object store has, of which the first begins at its `offset`."""

    offset: Size
    parts: Annotated[tuple[SentPart, ...], Meta(min_length=1, max_length=MAX_DIRECT_PARTS)]


class UnfinishedUpload(Record, frozen=True, kw_only=True):
    """The progress of an upload, as in Upload, and when it expires if no request uses it."""

    upload: UploadText
    offset: Size
    size: Size | None
    expires_at: Time


class UnfinishedUploads(Record, frozen=True, kw_only=True):
    """A page of uploads, by their ids."""

    uploads: tuple[UnfinishedUpload, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[UnfinishedUpload, ...]:
        """The rows of the page."""
        return self.uploads
