"""The checksum of what is pushed, taken of each byte once, to be compared with that of what the store has."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from opstore_cli.transfer.source import Source
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.limits import HASH_READ_SIZE, SMALL_PUSH


class Summing:
    """The checksum of a source that `is_random`, as far as it was asked for; whatever is sent again counts once."""

    @classmethod
    def of(cls, source: Source) -> Self:
        """What sums the source, begun already or not."""
        return source.summing if isinstance(source.summing, cls) else cls(source)

    @classmethod
    @contextmanager
    def begun(cls, source: Source) -> Iterator[None]:
        """Sums a source that is going to be pushed in this context, until its first byte is sent.

        Else a command would use one core until then: while it loads, and the daemon is found or started.
        """
        if not source.is_random or (source.size or 0) <= SMALL_PUSH:
            yield
            return
        source.summing = summing = cls(source)
        summing._begin()
        try:
            yield
        finally:
            summing.pause()

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sum, self._end = new_sum(), 0
        self._buffer = memoryview(bytearray(HASH_READ_SIZE))
        self._thread: threading.Thread | None = None
        self._stopping = False

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="opstore-sum", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping and self._end < (self._source.size or 0):
                self._step(self._source.size or 0)
        except errors.FileRefused:
            pass  # `reach` meets it again

    def pause(self) -> None:
        """Nothing is summed until `reach`: the source is left to whoever reads it now."""
        if self._thread is not None:
            self._stopping = True
            self._thread.join()
            self._thread = None

    def _step(self, end: int) -> None:
        count = self._source.read_into(self._buffer[: end - self._end], self._end)
        if not count:
            raise self._source.shorter()
        self._sum.update(self._buffer[:count])
        self._end += count

    def reach(self, end: int) -> None:
        """Takes in the bytes up to there that it has not seen; raises FileRefused."""
        self.pause()
        while self._end < end:
            self._step(end)

    def checksum(self) -> Checksum:
        """The checksum of the bytes so far."""
        return checksum_of(self._sum)
