"""Read an object as a seekable file: one request for a sequential read, and another one after a seek or a failure."""

import io
from contextlib import suppress
from typing import Any

from opstore_daemon.protocol import errors
from opstore_daemon.savers.object_store import failures
from opstore_daemon.savers.object_store.client import Body, Bucket, Ended, Missing, Taken

BUFFER = 64 * 1024  # bytes
SKIP = 256 * 1024  # bytes that are read and forgotten rather than requested anew
TRIES = 5  # without a byte in between


class ObjectReader(io.RawIOBase):
    """The bytes of an object of `size` bytes. The first request is sent with the first read."""

    def __init__(self, bucket: Bucket, name: str, size: int) -> None:
        self._bucket, self._name, self._size = bucket, name, size
        self._position = 0
        self._body: Body | None = None
        self._at = 0  # the position of the body
        self._etag: str | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check()
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise ValueError(f"negative seek position {begin + offset}")
        self._position = begin + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        self._check()
        view = memoryview(buffer).cast("B")
        count = min(len(view), max(0, self._size - self._position))
        if not count:
            return 0
        data = self._read(count)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._end()
        super().close()

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _read(self, count: int) -> bytes:
        """Return some bytes at the position; again from there if the connection breaks."""
        for attempt in range(TRIES):
            try:
                data: bytes = self._open().read(count)
            except failures.FAILURES as error:
                self._end()
                if attempt == TRIES - 1:
                    raise self._bucket.error(error, "GetObject") from None
                continue
            except Ended:
                return b""
            self._at += len(data)
            return data  # empty if the object ends here, earlier than it should: it does not match its digest
        raise AssertionError("the last attempt returns or raises")

    def _open(self) -> Any:
        """Return the stream at the position."""
        if self._body is not None and self._at < self._position <= self._at + SKIP:
            self._at += len(self._body.stream.read(self._position - self._at))
        if self._body is None or self._at != self._position:
            self._end()
            try:
                self._body = self._bucket.get(self._name, self._position, etag=self._etag)
            except Missing:
                reason = f"{self._name} is not in {self._bucket.place} any more"
                raise errors.StorageFailed(reason=reason) from None
            except Taken:
                reason = f"{self._name} in {self._bucket.place} was replaced while it was read"
                raise errors.StorageFailed(reason=reason) from None
            self._etag, self._at = self._body.etag, self._position
        return self._body.stream

    def _end(self) -> None:
        if self._body is not None:
            with suppress(*failures.FAILURES):
                self._body.stream.close()
            self._body = None
