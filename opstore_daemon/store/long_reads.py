"""Requests that read many stored bytes before they can respond: few run at once (store.places).

A response that consists of stored bytes is not such a request: no thread waits while the server sends those.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import BlobRecord, Blobs
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.store.places import IsCancelled, Places, check_client

RUNNING = 2  # long reads that run at once
WAITING = 3  # that wait for one of these: a client pushes four files at once
LONG = 64 * 1024 * 1024  # bytes from which a read is long


def places() -> Places:
    """Return the places for the long reads of one store."""
    return Places(RUNNING, WAITING, errors.TooManyReads)


class BlobVerification:
    """The verification of some blobs: iterate over it, then `close` it.

    It yields None after each piece that it has read, so that the caller can keep a connection alive meanwhile, and then
    the blobs that are intact. Once `is_cancelled` returns True, it ends without them.
    """

    def __init__(
        self, saver: BaseSaver, blobs: Sequence[BlobRecord], places: Places, is_cancelled: IsCancelled
    ) -> None:
        """Take a place if the blobs are long; raise TooManyReads, and ConnectionLost if it is cancelled meanwhile."""
        self._saver, self._blobs, self._is_cancelled = saver, blobs, is_cancelled
        self._places = places if sum(blob.size for blob in blobs) > LONG else None
        if self._places is not None:
            self._places.enter(lambda: check_client(is_cancelled))
        self._steps = self._verify()

    def _verify(self) -> Iterator[Blobs | None]:
        intact = []
        for blob in self._blobs:
            with suppress(errors.IntegrityFailure, errors.Unavailable):
                reader = BlobReader(self._saver, Digest.parse(blob.digest), blob.size)
                try:
                    for _ in reader:
                        yield None
                        if self._is_cancelled():
                            return
                finally:
                    reader.close()
                intact.append(blob)
        yield Blobs(blobs=tuple(intact))

    def __iter__(self) -> Iterator[Blobs | None]:
        return self._steps

    def close(self) -> None:
        """Give the place back. Closing twice is allowed."""
        places, self._places = self._places, None
        if places is not None:
            places.leave()
