"""The blobs that pushes of this process are about to make versions of."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from opstore_daemon.protocol.digests import Digest


class Publications:
    """The digests between publication and transaction: no version has them yet, and they are no garbage.

    This spares most pushes a second publication. It is not what makes them right: a collector that has looked here
    before a push began, or runs in another daemon, may take the blob. So each push looks for its blob again under the
    lock of its transaction, which a collector holds too, and publishes once more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Digest] = Counter()

    @contextmanager
    def running(self, digest: Digest) -> Iterator[None]:
        """Publish the blob and make its version in the context."""
        with self._lock:
            self._counts[digest] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[digest] -= 1
                if not self._counts[digest]:
                    del self._counts[digest]

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._counts
