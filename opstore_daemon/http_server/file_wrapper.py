"""Bytes on their way out through waitress: forward only, piece by piece, checked, and no thread held by a slow client.

Waitress takes a `wsgi.file_wrapper` over from the application's thread and sends it from its loop, as fast as the
client reads. Its own wrapper reads each piece, seeks back and reads the unsent rest again; this one keeps the
piece, so that its source is read once and can be hashed as it goes.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from waitress.buffers import ReadOnlyFileBasedBuffer

from opstore_daemon.protocol import errors
from opstore_daemon.store.blob_reader import BlobReader


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes of an open file that the system is to send, without their ever being here."""

    descriptor: int
    offset: int
    count: int

    def send(self, to: socket.socket) -> int:
        """Sends some of them, as `socket.send` does; returns how many."""
        sent = os.sendfile(to.fileno(), self.descriptor, self.offset, self.count)
        if not sent:
            raise errors.StorageFailed(reason="a blob ended early")
        return sent


class ForwardBuffer(ReadOnlyFileBasedBuffer):  # type: ignore[misc]
    """What waitress sends of a BlobReader. `get` shows bytes, `skip` says how many of them were sent.

    A damaged blob raises from `get`; waitress then closes the connection, and the client has too few bytes. Of what
    nobody checks here, `get` shows a Slice, where there is a file: `IntakeChannel.send` knows what to do with it.
    """

    def __init__(self, reader: BlobReader, block_size: int = 0) -> None:
        self.file = reader
        self.block_size = block_size
        self._piece = memoryview(b"")
        self._descriptor = reader.descriptor if hasattr(os, "sendfile") else None
        self._next = reader.start

    def __iter__(self) -> Iterator[bytes]:
        """Waitress asks for pieces only where there is none to send: of an empty blob."""
        return iter(self.file)

    def prepare(self, size: int | None = None) -> int:
        """How many bytes are to be sent."""
        self.remain = self.file.stop - self.file.start if size is None else size
        return self.remain

    def get(self, numbytes: int = -1, skip: bool = False) -> memoryview | Slice:
        """The next bytes, at most `numbytes`; they stay the next ones until they are skipped."""
        if self._descriptor is not None:
            return Slice(self._descriptor, self._next, self.remain if numbytes < 0 else min(numbytes, self.remain))
        if not self._piece:
            self._piece = memoryview(self.file.read_piece())
        shown = self._piece if numbytes < 0 else self._piece[:numbytes]
        if skip:
            self.skip(len(shown))
        return shown

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:
        """Those were sent."""
        self._piece = self._piece[numbytes:]
        self._next += numbytes
        self.remain -= numbytes
