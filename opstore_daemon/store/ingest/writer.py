"""The right of one request to append to an upload."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import Draft
from opstore_daemon.savers.receiving import receive
from opstore_daemon.store.ingest.open_upload import OpenUpload, check_size
from opstore_daemon.store.ingest.space import Space


class Writer:
    """The right to append to an upload, until another request claims it.

    An append to a draft that is not ready waits for the storage: a loop that serves others asks `is_ready` before.
    """

    def __init__(
        self, opened: OpenUpload, space: Space, end: Callable[[str], None], max_size: int | None = None
    ) -> None:
        """`end` ends an upload that a full disk refused; `max_size` is the largest that the saver can store."""
        self._opened, self._space, self._end, self._max_size = opened, space, end, max_size
        self._waits = 0  # functions that the draft has not called yet
        self._failure: errors.OpStoreError | None = None  # of `finish`

    def is_ready(self) -> bool:
        """Return whether the next append need not wait. Never waits."""
        return self._opened.closed or self._opened.draft.is_ready()

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call the function once, when the next append need not wait; from any thread, or at once."""
        self._waits += 1

        def ready() -> None:
            self._waits -= 1
            call()

        self._opened.draft.when_ready(ready)

    def append(self, data: bytes | memoryview) -> None:
        """Append the data; raise UploadNotOpen, TooLarge, StorageFull or StorageFailed, and append nothing.

        After StorageFull the upload takes no more bytes: call `end_if_refused` where waiting is allowed.
        """
        with self._appending(len(data)) as draft, self._space.writing(len(data)):
            draft.append(data)
            self._opened.hash.feed(data)

    def receive(self, source: int, limit: int) -> int:
        """Append what has arrived on the connection with this descriptor, at most `limit` bytes; return their number.

        Raise what `append` does, or OSError (see `savers.receiving`).
        """
        count = min(limit, READ_SIZE)  # more is never moved at once
        with self._appending(limit) as draft, self._space.writing(count, streams=True):
            if draft.needs_seal:
                data = os.read(source, count)
                draft.append(data)
                self._opened.hash.feed(data)
                received = len(data)
            else:
                received = receive(draft, source, count)
        self._space.give_back(count - received)
        return received

    @contextmanager
    def _appending(self, limit: int) -> Iterator[Draft]:
        opened = self._opened
        with opened.try_lock():
            if opened.writer is not self:
                raise errors.UploadNotOpen(upload=opened.upload)
            check_size(opened, opened.draft.offset + limit)
            check_max(self._max_size, opened.draft.offset + limit)
            try:
                with opened.storing() as draft:
                    yield draft
            except errors.StorageFull as error:
                opened.refused = True
                raise ended(error) from error
            opened.hash.advance(opened.draft.offset)

    def close(self) -> None:
        """Give up the right to append; the bytes so far stay. Never waits: call `finish` where that is allowed."""
        if self._opened.writer is self:
            self._opened.writer = None
            self._opened.hash.close()

    @property
    def is_unstored(self) -> bool:
        """Whether the draft may have bytes in memory that are not stored yet: call `finish`."""
        return self._opened.is_unstored and not self._opened.closed

    def finish(self) -> records.Upload:
        """Give up the right to append, and store what was accepted; return the record of the upload. Waits.

        Raises UploadNotOpen if another daemon has taken the upload over, StorageFull, StorageFailed and DatabaseFailed;
        a second call raises the same.
        """
        self.close()
        if self._failure is not None:
            raise self._failure
        try:
            self._store()
        except errors.OpStoreError as error:
            self._failure = error
            raise
        return self._opened.record()

    def _store(self) -> None:
        opened = self._opened
        if not opened.is_unstored:
            return
        with opened.lock:
            if opened.closed:
                raise errors.UploadNotOpen(upload=opened.upload)
            gets_memory = self._waits > 0
            try:
                opened.store()
            except errors.StorageFull as error:
                opened.refused = True
                raise ended(error) from error
            if gets_memory:  # later, when nobody would give it back
                opened.close()

    def rest(self) -> None:
        """Store what was accepted, without giving up the right to append. Waits; raises as `finish` does."""
        opened = self._opened
        with opened.lock:
            if opened.writer is self and not opened.closed:
                opened.store()
                opened.is_unstored = True  # it may take memory again

    def end_if_refused(self) -> None:
        """End the upload if a full disk refused its bytes, which frees those that it has. Waits for locks."""
        if self._opened.refused:
            self._end(self._opened.upload)


def ended(error: errors.StorageFull) -> errors.StorageFull:
    """Return the error, which also says what became of the upload."""
    return errors.StorageFull(reason=f"{error.details['reason']}; the upload has ended, and its bytes are freed")


def check_max(limit: int | None, size: int) -> None:
    """Raise TooLarge if the saver can't store so many bytes as one blob."""
    if limit is not None and size > limit:
        raise errors.TooLarge(what="the upload", size=size, limit=limit)
