"""Bytes on their way in."""

from opstore_daemon.protocol.records.base import Record, Request, Size, Time


class NewUpload(Request, frozen=True, kw_only=True):
    """Bytes that are to come; `size` where it is known."""

    size: Size | None = None


class Upload(Record, frozen=True, kw_only=True):
    """How far an upload is: `offset` bytes are kept, of `size` where that was declared."""

    upload: str
    offset: int
    size: int | None


class UnfinishedUpload(Upload, frozen=True, kw_only=True):
    """The same, and when it is thrown away unless somebody asks for it."""

    expires_at: Time


class UnfinishedUploads(Record, frozen=True, kw_only=True):
    """A page of uploads, by their ids."""

    uploads: tuple[UnfinishedUpload, ...]
    next_cursor: str | None = None
