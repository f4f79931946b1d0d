"""The wsgi.file_wrapper: sends the bytes of a blob from waitress' loop, so that a slow client holds no thread.

Waitress takes the wrapper from the application's thread and sends from it as fast as the client reads. Its own wrapper
reads each piece, seeks back and reads the unsent rest again; this one keeps the piece, so that its source is read once,
in order, and can be hashed meanwhile.
"""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from waitress.buffers import ReadOnlyFileBasedBuffer

from opstore_daemon.protocol import errors
from opstore_daemon.store.blob_reader import BlobReader


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of an open file for os.sendfile(), which does not copy them into this process.

    If that fails, `read_instead` returns the same bytes, or the first of them.
    """

    descriptor: int
    offset: int
    count: int
    read_instead: Callable[[], memoryview]

    def send(self, to: socket.socket) -> int:
        """Send as much as the socket accepts; return the number of bytes. Raises StorageFailed at the file's end.

        Also raises OSError, for the socket or for a file system that refuses sendfile(2).
        """
        sent = os.sendfile(to.fileno(), self.descriptor, self.offset, self.count)
        if not sent:
            raise errors.StorageFailed(reason="a blob ended early")
        return sent


class ForwardBuffer(ReadOnlyFileBasedBuffer):  # type: ignore[misc]
    """A BlobReader as an output buffer of waitress: `get` returns the next bytes, `skip` reports how many were sent.

    `get` raises if the blob is damaged; waitress then closes the connection, and the client receives too few bytes.
    If the reader need not verify the bytes, `get` returns a FileSlice where the system has sendfile; `Channel.send`
    accepts it, and reads the bytes if the file system refuses to send them.
    """

    def __init__(self, reader: BlobReader, block_size: int = 0) -> None:
        self.file = reader
        self.block_size = block_size
        self._piece = memoryview(b"")
        self._descriptor = reader.descriptor if hasattr(os, "sendfile") else None
        self._next = reader.start

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the pieces: waitress does so for an empty blob only."""
        return iter(self.file)

    def prepare(self, size: int | None = None) -> int:
        """Return how many bytes are to be sent, at most `size`."""
        self.remain = self.file.stop - self.file.start if size is None else size
        return self.remain

    def get(self, numbytes: int = -1, skip: bool = False) -> memoryview | FileSlice:
        """Return the next bytes, at most `numbytes`, and the same ones again until they are skipped."""
        if self._descriptor is not None:
            count = self.remain if numbytes < 0 else min(numbytes, self.remain)
            return FileSlice(self._descriptor, self._next, count, self._read_instead)
        if not self._piece:
            self._piece = memoryview(self.file.read_piece())
        piece = self._piece if numbytes < 0 else self._piece[:numbytes]
        if skip:
            self.skip(len(piece))
        return piece

    def _read_instead(self) -> memoryview:
        """Read and send the rest of this response; return its next bytes. Raises StorageFailed."""
        self._descriptor = None
        self.file.seek(self._next)
        self._piece = memoryview(self.file.read_piece())
        return self._piece

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:
        """Drop the next `numbytes` bytes, which were sent."""
        self._piece = self._piece[numbytes:]
        self._next += numbytes
        self.remain -= numbytes
