"""Bytes on their way in."""

from opstore_daemon.protocol.records.base import Record, Request, Size


class NewUpload(Request, frozen=True, kw_only=True):
    """Bytes that are to come; `size` where it is known."""

    size: Size | None = None


class Upload(Record, frozen=True, kw_only=True):
    """How far an upload is: `offset` bytes are kept, of `size` where that was declared."""

    upload: str
    offset: int
    size: int | None
