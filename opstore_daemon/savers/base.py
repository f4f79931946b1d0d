"""What every saver promises, and what its callers may not assume.

Hashing and checking happen once, around any saver, in the store: a saver may trust the digest that it is given,
and a caller may not conclude from an open file that its bytes are the right ones.
"""

import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE

"""Bytes are received and read back in pieces of at most so many, or little more."""

_UPLOAD = re.compile(r"[0-9a-f]{32}")


def check_upload(upload: str) -> str:
    """The id of an upload, if it is 32 lower-case hex digits; raises ValueError. No path is made from anything else."""
    if _UPLOAD.fullmatch(upload) is None:
        raise ValueError(f"{upload[:80]!r} is not an upload: it is 32 lower-case hex digits")
    return upload


def is_upload(name: str) -> bool:
    """Whether that is the id of an upload."""
    return _UPLOAD.fullmatch(name) is not None


class Draft(ABC):
    """Bytes on their way in, in order.

    One writer at a time: that no upload has two drafts open at once is the caller's business, not the saver's.
    Whatever fails raises StorageFull where there is no space left, else StorageFailed; a draft that was closed
    raises ValueError.
    """

    @property
    @abstractmethod
    def offset(self) -> int:
        """How many bytes it has kept. It can still be read after close().

        They survive the end of the process, `kill -9` included. After a loss of power there may be fewer of them,
        or other ones: whoever takes a draft up again hashes them again.
        """

    @abstractmethod
    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Keeps all of data at the offset, or none of it: when it raises, the offset is what it was.

        The buffer is the caller's again when it returns. After StorageFull the same data may be appended once
        more. After the first publish, also one that failed, nothing can be appended: StorageFailed. Nothing is
        promised to survive a loss of power before publish() has returned.
        """

    def receive(self, source: socket.socket, most: int) -> int:
        """Keeps up to `most` of the bytes that have come to the socket, and says how many; 0 where it has ended.

        Raises what `append` does, which keeps none of them then, though they are gone from the socket; and OSError
        where the connection fails, or has nothing and does not wait. A saver may know a shorter way than this one.
        """
        data = source.recv(min(most, READ_SIZE))
        self.append(data)
        return len(data)

    @abstractmethod
    def read_at(self, offset: int, buffer: memoryview) -> int:
        """Fills the buffer with the bytes from that offset on, which it must have kept, and says how many those were.

        They may be fewer than there is room for, but not none. By any thread, while others are appended: this is how
        they are hashed.
        """

    @abstractmethod
    def publish(self, digest: Digest) -> None:
        """The bytes are whole and durable under that digest when it returns; raises InvalidDigest, too.

        The draft stays until it is discarded, so that a caller that crashes before its own commit can publish
        again: a second publish succeeds, also by a draft that was taken up again after a crash in the middle. A
        blob that is there already becomes young again (`published_at`), and one whose bytes differ, because they
        were damaged, is replaced.

        When it raises, nothing may be concluded: the blob may be there or not (another draft may rely on it by
        then), but never a part of it. Where the disk may not hold what it was told to hold, the draft is spoilt:
        every later append and publish raises StorageFailed; the upload's next draft has what can be trusted, which
        may be nothing. A delete of the same digest that runs at the same time may win: look once more before the
        blob is relied on, at a time when no delete can run.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file. The bytes so far stay and can be taken up again. Again is not an error."""


class BaseSaver(ABC):
    """Immutable bytes by digest, and the drafts that become them.

    Its methods may be called by many threads at once. Whatever fails raises StorageFull where there is no space
    left, else StorageFailed; a digest that is none raises InvalidDigest, an upload that is none ValueError.
    """

    @abstractmethod
    def draft(self, upload: str) -> Draft:
        """The draft of that upload: new, or taken up again at the offset that it has.

        A caller may not assume that it is new, nor that an upload which it knows still has its bytes.
        """

    @abstractmethod
    def drafts(self) -> Iterator[str]:
        """The uploads that have a draft, in no order: to expire them. None is missed that was there all the time."""

    @abstractmethod
    def kept(self, upload: str) -> int:
        """How many bytes the draft of that upload has kept; 0 where there is none, and none is made.

        Also of one that is open, where it may be behind by what is being appended.
        """

    @abstractmethod
    def discard(self, upload: str) -> None:
        """The draft and all its traces are gone; not an error where there is none. Never touches a published blob.

        A draft that was open meanwhile is to be closed; it publishes nothing any more.
        """

    @abstractmethod
    def open(self, digest: Digest) -> BinaryIO:
        """The bytes, to read: seekable, at 0, with a position of its own; raises BlobNotFound.

        What is open stays readable to its end when the blob is deleted or replaced meanwhile. Reading raises
        StorageFailed. The bytes may be damaged: hash them.
        """

    @abstractmethod
    def __contains__(self, digest: object) -> bool:
        """Whether there is a blob with that digest, whole by the promise of publish(); False for what is no digest."""

    @abstractmethod
    def size(self, digest: Digest) -> int:
        """Its size in bytes; raises BlobNotFound."""

    @abstractmethod
    def published_at(self, digest: Digest) -> float:
        """When it was last published, in seconds since the epoch by the saver's clock; raises BlobNotFound.

        It is there so that a collector passes over what a push may rely on, and says nothing else.
        """

    @abstractmethod
    def delete(self, digest: Digest) -> None:
        """It is gone; not an error where there is none. After a loss of power it may be back."""

    @abstractmethod
    def __iter__(self) -> Iterator[Digest]:
        """The digests, in no order, each once. What is published or deleted meanwhile may be among them or not."""

    def free(self) -> int | None:
        """Bytes that can still be stored, roughly; None where nobody knows. No promise that so many will fit."""
        return None
