"""The digest of bytes on their way, taken beside their transfer: a third faster than in turn with it."""

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from opstore_daemon.protocol.digests import Digest, digest_of, new_hash

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

WAITING = 4  # pieces that may wait to be hashed: what bounds the memory
SMALL = 64 * 1024  # bytes; a piece up to this is not worth a thread


class Hasher:
    """A hash that a thread of its own keeps up to date. What is given to it must not change afterwards."""

    def __init__(self) -> None:
        self._hash = new_hash()
        self._worker: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes) -> None:
        """The next bytes."""
        if self._worker is None:
            if len(data) <= SMALL:
                self._hash.update(data)
                return
            from concurrent.futures import ThreadPoolExecutor

            self._worker = ThreadPoolExecutor(1, thread_name_prefix="opstore-hash")
        self._waiting.append(self._worker.submit(self._hash.update, data))
        while len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        while self._waiting:
            self._waiting.popleft().result()
        return digest_of(self._hash)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)
