"""Upload bytes past the daemon, to the object store; the daemon receives the rest if that fails.

The daemon names URLs for a page of parts, the client sends the parts and reports which have arrived, and the daemon
records them. The offset of the upload is the end of what it has recorded, as for bytes that it receives itself.
"""

import contextlib
from collections.abc import Callable
from itertools import takewhile
from typing import TypeVar

from opstore_cli.transfer.checksum import SourceHash
from opstore_cli.transfer.direct_fallback import note_fallback
from opstore_cli.transfer.direct_parts import Part, PartSender
from opstore_cli.transfer.retry import RETRYABLE_UPLOAD, RetryBudget
from opstore_cli.transfer.source import Source
from opstore_cli.transfer.threads import run_briefly
from opstore_cli.transport import expected
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.direct_interface import PARALLEL, DirectConnections, DirectExpired, DirectFailed
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import NewPart, NewParts, PartUrls, SentPart, SentParts, Upload

T = TypeVar("T", PartUrls, Upload)

# Errors of a daemon that can't do it for this upload, such as one that is older than the one that offered it.
IMPOSSIBLE = (errors.Refused, errors.Conflict, errors.RouteNotFound)

# Bytes of a page, or PARALLEL parts if they have more: the client hashes a page before it sends it, and a crash of
# the client costs what it has not reported.
PAGE = 256 * 1024 * 1024

StateAfter = Callable[[str, RetryBudget, errors.OpStoreError], Upload]


class _Moved(Exception):
    """The upload is in another state than the client's after a failure: it continues from there."""

    def __init__(self, upload: Upload, failure: errors.OpStoreError) -> None:
        super().__init__()
        self.upload, self.failure = upload, failure


class DirectUpload:
    """Sends the bytes of uploads of one source past the daemon, as far as that works.

    `state_after` returns the state of an upload after a failure, and raises that if no retry is left. `moved` is called
    with the number of bytes that are sent.
    """

    def __init__(
        self,
        api: ApiClient,
        op: OpName,
        source: Source,
        hashed: SourceHash,
        state_after: StateAfter,
        moved: Callable[[int], object],
    ) -> None:
        self._api, self._op, self._source, self._hashed = api, op, source, hashed
        self._state_after, self._moved = state_after, moved
        self._page: list[Part] = []
        self._retries = RetryBudget(0)

    def send(self, upload: Upload) -> int:
        """Send the bytes from the upload's offset on; return the offset from which on the daemon has to receive them.

        Raises FileRefused, and errors of the daemon. After an interrupt, it reports the parts that have arrived.
        """
        if upload.part_size is None or not self._api.may_be_direct:
            return upload.offset
        sender = PartSender(self._source, self._connect, self._tick)
        self._retries = RetryBudget(upload.offset)
        try:
            while upload.part_size is not None and upload.offset < (self._source.size or 0):
                self._page = []
                try:
                    self._send_page(upload, sender)
                    upload = self._report(upload)
                except _Moved as other:
                    upload = other.upload
                    if not self._retries.progressed_to(upload.offset):
                        self._retries.wait(other.failure)
                except DirectFailed as failure:
                    self._source.check_unchanged()  # the object store refuses bytes that changed after they were hashed
                    note_fallback(self._api, f"{self._op} goes", failure, has_worked=sender.has_worked)
                    return self._reported(upload).offset
                self._retries.progressed_to(upload.offset)
        except KeyboardInterrupt:
            run_briefly(lambda: self._report_at_the_end(upload))
            raise
        finally:
            sender.close()
        return upload.offset

    def _connect(self, url: str) -> DirectConnections:
        if self._api.direct is None:
            raise DirectFailed("the object store", "it can't be requested from here")
        return self._api.direct(url)

    def _tick(self) -> None:
        """Report how far it is: parts that are sent again count once."""
        if self._page:
            self._moved(self._page[0].start + sum(part.sent for part in self._page))

    def _send_page(self, upload: Upload, sender: PartSender) -> None:
        """Send the next parts, which are the page from then on. Raises DirectFailed, _Moved and FileRefused."""
        self._page = self._next_page(upload)
        while missing := [part for part in self._page if part.etag is None]:
            self._request_urls(upload)
            had_worked = sender.has_worked
            try:
                sender.send(missing)
            except DirectExpired:
                if not had_worked and not sender.has_worked:
                    raise
                refused = next(part for part in self._page if part.etag is None)
                if refused.was_refused:
                    raise
                refused.was_refused = True
            self._tick()

    def _next_page(self, upload: Upload) -> list[Part]:
        size, part_size = self._source.size or 0, upload.part_size or 1
        count = min(max(PAGE // part_size, PARALLEL), limits.MAX_DIRECT_PARTS)
        starts = [upload.offset + number * part_size for number in range(count)]
        ends = [(start, min(start + part_size, size)) for start in starts if start < size]
        return [Part(start, end, self._hashed.digest_of_part(start, end)) for start, end in ends]

    def _request_urls(self, upload: Upload) -> None:
        """Set the URLs of the page's parts. Raises DirectFailed, and _Moved."""
        parts = tuple(NewPart(size=part.size, digest=part.digest) for part in self._page)
        found = self._request(routes.PART_URLS, upload, NewParts(offset=upload.offset, parts=parts), PartUrls)
        if len(found.urls) != len(parts):
            raise self._api.unexpected(f"{len(found.urls)} URLs", f"one for each of {len(parts)} parts")
        for part, url in zip(self._page, found.urls, strict=True):
            part.url = url

    def _report(self, upload: Upload) -> Upload:
        """Report the parts of the page that have arrived, up to the first that has not; return the state after that."""
        arrived = list(takewhile(lambda part: part.etag is not None, self._page))
        if not arrived:
            return upload
        parts = tuple(SentPart(size=part.size, digest=part.digest, etag=part.etag or "") for part in arrived)
        found = self._request(routes.PARTS, upload, SentParts(offset=upload.offset, parts=parts), Upload)
        is_next = expected.is_upload(found, None, upload.upload) and found.offset == arrived[-1].end
        return self._api.expect(found, is_next, f"the upload {upload.upload} with {len(parts)} more parts")

    def _reported(self, upload: Upload) -> Upload:
        """Report what has arrived before the daemon receives the rest; return the state after that."""
        try:
            return self._report(upload)
        except _Moved as other:
            return other.upload
        except DirectFailed:
            return upload

    def _report_at_the_end(self, upload: Upload) -> None:
        """Report what has arrived, for a later process."""
        with contextlib.suppress(errors.OpStoreError, DirectFailed, _Moved):
            self._report(upload)

    def _request(self, route: str, upload: Upload, body: NewParts | SentParts, kind: type[T]) -> T:
        """POST the parts of the page. Raises DirectFailed if the daemon can't do that, and _Moved."""
        path = routes.path(route, upload=upload.upload)
        while True:
            try:
                return self._api.request("POST", path, kind, body=body)
            except RETRYABLE_UPLOAD as failure:
                found = self._state_after(upload.upload, self._retries, failure)
                if found != upload:
                    raise _Moved(found, failure) from None
                try:
                    self._retries.wait(failure)
                except errors.StorageFailed:  # it does for parts what it may not do for appends: it lists them
                    raise DirectFailed(self._api.transport.address, failure.text) from None
            except IMPOSSIBLE as failure:
                raise DirectFailed(self._api.transport.address, failure.text) from None
