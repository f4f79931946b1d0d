"""The bytes of a request as a file: boto3 copies bytes that it is given in another form."""

import io


class SentBody(io.RawIOBase):
    """A file that reads from a buffer without copying it. The buffer must not change meanwhile."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data, self._position = memoryview(data), 0

    def __len__(self) -> int:
        return len(self._data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        self._position = begin + offset
        return self._position

    def read(self, size: int | None = -1, /) -> memoryview:
        """Return at most `size` bytes at the position, all of them if it is negative or None."""
        end = len(self._data) if size is None or size < 0 else self._position + size
        piece = self._data[self._position : end]
        self._position += len(piece)
        return piece
