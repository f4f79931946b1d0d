"""Many blobs at once: found in one step, and stored with fewer transactions than one by one."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from opstore_daemon.protocol.digests import Digest


class FoundBlob(NamedTuple):
    """A blob in a saver: its size in bytes, and `open`, which does what `BaseSaver.open` does with its digest."""

    size: int
    open: Callable[[], BinaryIO]


class Batch(ABC):
    """Blobs that are stored together (`BaseSaver.batch`)."""

    @abstractmethod
    def put(self, data: bytes, digest: Digest) -> None:
        """Store the bytes of one of the blobs, once; several threads may do so. Raises errors of the saver."""

    @abstractmethod
    def finish(self) -> None:
        """Make everything that was put a blob, with the promises of `Draft.publish`, if it is none yet.

        What was put and not finished, or not put, is a leftover (`BaseSaver.discard_leftovers`), also after a crash.
        """


class BatchOfOne(Batch):
    """Makes each blob as soon as it is put, for a saver that gains nothing by waiting."""

    def __init__(self, put: Callable[[bytes, Digest, str], None]) -> None:
        """`put` is `BaseSaver.put`."""
        self._put = put

    def put(self, data: bytes, digest: Digest) -> None:
        self._put(data, digest, uuid.uuid4().hex)

    def finish(self) -> None:
        return
