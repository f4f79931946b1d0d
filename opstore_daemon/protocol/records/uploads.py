"""Uploads."""

from opstore_daemon.protocol.records.base import Cursor, Record, Request, Size, Time, UploadText


class NewUpload(Request, frozen=True, kw_only=True):
    """A new upload; `size` in bytes, None if unknown."""

    size: Size | None = None


class Upload(Record, frozen=True, kw_only=True):
    """The progress of an upload: `offset` bytes of `size`, if that was declared, are stored."""

    upload: UploadText
    offset: Size
    size: Size | None


class UnfinishedUpload(Upload, frozen=True, kw_only=True):
    """The progress of an upload, and when it expires if no request uses it."""

    expires_at: Time


class UnfinishedUploads(Record, frozen=True, kw_only=True):
    """A page of uploads, by their ids."""

    uploads: tuple[UnfinishedUpload, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[UnfinishedUpload, ...]:
        """The rows of the page."""
        return self.uploads
