"""Parts of an upload that clients send past the daemon: their URLs, and that they were sent."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import NewPart, NewParts, PartUrls, SentParts, Upload
from opstore_daemon.savers.direct import LIFETIME, DirectDraft
from opstore_daemon.store.ingest.open_upload import OpenUpload
from opstore_daemon.store.ingest.uploads import Uploads


class DirectParts:
    """The parts of the uploads of a store. Each request may reach another daemon, which takes the upload over."""

    def __init__(self, uploads: Uploads, now: Callable[[], datetime]) -> None:
        self._uploads, self._now = uploads, now

    def urls(self, upload: str, owner: str, request: NewParts) -> PartUrls:
        """Return where a client sends the next parts.

        Raises UploadNotFound, UploadNotOpen, OffsetMismatch, StorageFailed, and InvalidRequest for parts of other sizes
        than `Upload.part_size` says, or if these bytes have to go through the daemon.
        """
        expires_at = self._now() + timedelta(seconds=LIFETIME)
        with self._at(upload, owner, request.offset) as (opened, draft, size):
            _check_sizes(opened, request.parts, size, size)
            opened.hash.distrust()
            with opened.storing():
                urls = draft.part_urls(request.parts, LIFETIME)
        return PartUrls(urls=tuple(urls), expires_at=expires_at)

    def add(self, upload: str, owner: str, request: SentParts) -> Upload:
        """Count the parts, which the object store has to have; return the upload at its new offset.

        Raises what `urls` does, and PartNotStored for the first that is not there; those before it count.
        """
        with self._at(upload, owner, request.offset) as (opened, draft, size):
            # Their sizes are those of when the URLs were made; behind some of them, smaller ones may be enough.
            _check_sizes(opened, request.parts, size, opened.size or 0)
            with opened.storing():
                count = draft.add_sent(request.parts)
            opened.hash.advance(opened.draft.offset)
            if count < len(request.parts):
                raise errors.PartNotStored(upload=upload, offset=opened.draft.offset)
            return opened.record()

    @contextmanager
    def _at(self, upload: str, owner: str, offset: int) -> Iterator[tuple[OpenUpload, DirectDraft, int]]:
        """Hold the upload at the offset, with its draft and the size of its next parts."""
        with self._uploads.at(upload, owner, offset) as opened:
            opened.store()
            size = None if opened.direct is None else opened.direct.part_size
            if opened.direct is None or size is None:
                raise errors.InvalidRequest(reason="the next bytes of this upload go through the daemon: append them")
            yield opened, opened.direct, size


def _check_sizes(opened: OpenUpload, parts: Sequence[NewPart], smallest: int, largest: int) -> None:
    """Raise InvalidRequest unless each part has a size in this range, and the last one of the upload has the rest."""
    left = (opened.size or 0) - opened.draft.offset
    for part in parts:
        if not min(smallest, left) <= part.size <= min(largest, left):
            expected = f"{min(smallest, left)} bytes"
            raise errors.InvalidRequest(reason=f"a part has {part.size} bytes, where the upload needs {expected}")
        left -= part.size
