"""Keep the collector away from the blobs while somebody relies on all of them: a backup.

Such a reader holds the lock `shared`, for as long as it takes. The collector holds it `exclusive`, for one small batch
of blobs at a time, so a reader waits for a moment only; a collector that finds readers does not wait at all.
"""

import errno
import fcntl
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.savers.posix import translated
from opstore_daemon.system.files import is_at_path, open_regular

COLLECT_LOCK = "collect.lock"
WAIT = 30.0  # seconds that a reader waits for a batch of the collector
POLL = 0.01  # seconds
READERS = "a backup reads the blobs"


class CollectionLock(ABC):
    """The lock of one storage: any number of readers hold it, or one collector."""

    @abstractmethod
    def shared(self) -> AbstractContextManager[None]:
        """Keep collectors away in the context. Raises StorageFailed if a collector does not let go of the lock."""

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[None]:
        """Collect in the context. Raises CollectionHeld at once if a reader or another collector holds the lock."""


class FolderCollectionLock(CollectionLock):
    """A lock on the file `collect.lock` in the folder of the blobs, which other processes respect, too.

    The system releases it at the end of the process that holds it, however it ends. The file stays.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / COLLECT_LOCK

    @contextmanager
    def shared(self) -> Iterator[None]:
        descriptor = self._open(os.O_RDONLY)
        try:
            self._wait(descriptor)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        descriptor = self._open(os.O_RDWR)
        try:
            if not self._try(descriptor, fcntl.LOCK_EX):
                raise errors.CollectionHeld(reason=READERS)
            yield
        finally:
            os.close(descriptor)

    def make(self) -> None:
        """Create the file, so that readers who may not write to the folder can lock it; a full disk is ignored."""
        with suppress(errors.Unavailable):
            os.close(self._open(os.O_RDONLY))

    def _open(self, flags: int) -> int:
        with translated(f"locking {self._path}"):
            try:
                return open_regular(self._path, flags)
            except FileNotFoundError:
                return open_regular(self._path, os.O_RDWR | os.O_CREAT)

    def _wait(self, descriptor: int) -> None:
        deadline = time.monotonic() + WAIT
        while not self._try(descriptor, fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise errors.StorageFailed(reason=f"a collector has locked {self._path} for {WAIT:.0f} seconds")
            time.sleep(POLL)

    def _try(self, descriptor: int, kind: int) -> bool:
        with translated(f"locking {self._path}"):
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not is_at_path(self._path, descriptor):
                # Somebody locks another file at the path, and the two locks would not exclude each other.
                raise OSError(errno.ESTALE, "The file was deleted or replaced")
        return True


class ProcessCollectionLock(CollectionLock):
    """A lock within this process, for storage that nobody else can see."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers, self._collects = 0, False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._collects, WAIT):
                raise errors.StorageFailed(reason=f"a collector has locked the blobs for {WAIT:.0f} seconds")
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            if self._readers or self._collects:
                raise errors.CollectionHeld(reason=READERS)
            self._collects = True
        try:
            yield
        finally:
            with self._changed:
                self._collects = False
                self._changed.notify_all()
