"""The files that tie a folder to a store: `lock`, which one saver at a time holds, `store-id` and `position`."""

import os
from contextlib import suppress
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.store_ids import is_store_id
from opstore_daemon.savers import posix
from opstore_daemon.savers.position_file import PositionFile
from opstore_daemon.savers.posix import translated
from opstore_daemon.system.lock_file import EARLIER_SERVER, Busy, LockFile, holder

LOCK, STORE_ID, POSITION = "lock", "store-id", "position"
FILES = {LOCK, STORE_ID, POSITION}


class FolderIdentity:
    """The lock, the store id and the position of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock: LockFile | None = None
        self._position = PositionFile(root / POSITION)

    def acquire(self, home: str | None) -> None:
        """Hold the folder until `release`; raise StoreInUse or StorageFailed."""
        if self._lock is not None:
            raise errors.StoreInUse(what=f"the folder {self._root}", holder=EARLIER_SERVER)
        path = self._root / LOCK
        try:
            with translated(f"locking {path}"):
                self._lock = LockFile(path)
        except Busy as busy:
            raise errors.StoreInUse(what=f"the folder {self._root}", holder=busy.holder) from None
        with suppress(OSError):  # it only says who holds the lock, and a full disk has no room for it
            self._lock.write(holder(home))

    def release(self) -> None:
        """Release the folder."""
        self._position.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check_place(self) -> None:
        """Raise StorageFailed unless the folder that is held is still at its path."""
        with translated("looking at the folder of the blobs"):
            is_there = self._lock is None or self._lock.is_at_path()
        if not is_there:
            raise errors.StorageFailed(reason="the folder of the blobs was deleted, moved or replaced")

    def store_id(self) -> str | None:
        """Return the id in the folder, or None; raise StoreIdDamaged for a file without an id, and StorageFailed."""
        path = self._root / STORE_ID
        with translated(f"reading {path}"):
            try:
                fd = posix.open_regular(path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            with open(fd, "rb") as file:
                text = file.read(64).decode("ascii", "replace").strip()
        if not is_store_id(text):
            raise errors.StoreIdDamaged(path=str(path), text=text)
        return text

    def claim(self, store_id: str) -> None:
        """Write the id into the folder atomically and durably."""
        new = self._root / f"{STORE_ID}.new"
        with translated("writing the store id"):
            if self.store_id() != store_id:
                self._position.close()
                posix.unlink(self._root / POSITION)  # of another store
            posix.unlink(new)  # of a process that crashed: only the holder of the lock writes here
            fd = posix.open_new(new)
            try:
                posix.write_all(fd, f"{store_id}\n".encode(), 0)
                posix.sync(fd)
            finally:
                os.close(fd)
            os.rename(new, self._root / STORE_ID)
            posix.sync_folder(self._root)

    def position(self) -> int:
        """Return the position in the folder; raise StorageFailed."""
        with translated(f"reading {self._root / POSITION}"):
            return self._position.read()

    def record_position(self, position: int) -> None:
        """Record the position if the folder is held and has a store id."""
        # A precaution: no commit fails because of it.
        with suppress(OSError, errors.StorageFailed):
            if self._lock is not None and (self._position.is_open or self.store_id() is not None):
                self._position.record(position)
