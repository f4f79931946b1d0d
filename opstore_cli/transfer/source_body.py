"""A range of a source as the body of a request."""

from collections.abc import Callable, Iterator

from opstore_cli.transfer.source import Slice, Source
from opstore_daemon.protocol.limits import READ_SIZE


class SourceBody:
    """A request body (transport.interface.Body) of a source's bytes from `start` to before `end`.

    Calls `before_piece(position, count)` before each piece.
    """

    def __init__(self, source: Source, start: int, end: int, before_piece: Callable[[int, int], None]) -> None:
        self._source, self._before_piece = source, before_piece
        self._position, self._end = start, end

    def __len__(self) -> int:
        return self._end - self._position

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(READ_SIZE):
            yield data

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` of the next bytes; raises FileRefused."""
        left = len(self)
        count = left if size < 0 else min(size, left)
        if not count:
            return b""
        self._before_piece(self._position, count)
        data = self._source.read_at(self._position, count)
        if not data:
            raise self._source.truncation()
        self._position += count
        return data

    def pieces(self, *, slices: bool) -> Iterator[bytes | Slice]:
        while left := len(self):
            count = min(READ_SIZE, left)
            if not (slices and self._source.is_file):
                yield self.read(count)
                continue
            self._before_piece(self._position, count)
            yield Slice(self._source, self._position, count)
            self._position += count
