"""The file of an SQLite database: one daemon at a time, all of it there, and still at its path.

SQLite takes the name of a database for the database. It creates an empty one where a file is missing, deletes a WAL
beside an empty file, and continues with a file that has lost its name, whose commits nobody will ever see. This module
looks at the file's names before SQLite does, and after each commit. It never opens the database itself: closing any
descriptor of the file would release the locks that SQLite has on it (POSIX).
"""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from opstore_daemon.metadata.sqlite.database_match import what_is_wrong
from opstore_daemon.metadata.sqlite.wal_record import WalRecord, what_is_missing
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.store_ids import is_store_id
from opstore_daemon.system import full_disk
from opstore_daemon.system.lock_file import Busy, LockFile, holder, read_record

_WAL, _STORE = "wal", "store"  # the keys of its record, and of the store id, in the lock file


class DatabaseFile:
    """The files of the database at `path`, which is free of symbolic links (os.path.realpath)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._lock: LockFile | None = None
        self._record, self._store = WalRecord(), ""
        self._identities: dict[Path, tuple[int, int]] = {}
        self._connections, self._counting = 0, threading.Lock()

    # --- before it is opened --------------------------------------------------------------------------------------

    def acquire(self, home: str | None) -> None:
        """Become the one daemon of the database, until `release`; `home` is recorded for those who find it in use.

        Raises StoreInUse; InvalidSetting for a file that can't be a database; DatabaseDamaged if a part is missing; and
        DatabaseFailed if the lock can't be had, as on a file system without locks.
        """
        self._check_kinds()
        path = self.path.with_name(f"{self.path.name}.lock")
        try:
            self._lock = LockFile(path)
        except Busy as busy:
            raise errors.StoreInUse(what=f"the database {self.path}", holder=busy.holder) from None
        except OSError as error:
            failure = errors.StorageFull if full_disk.is_full(error) else errors.DatabaseFailed
            raise failure(reason=f"{path} can't be locked: {full_disk.reason(error, path.parent)}") from error
        reason = self._examine(self._lock.record)
        if reason is not None:
            raise errors.DatabaseDamaged(database=str(self.path), reason=reason)
        self._holder = holder(home)
        self._write()

    def check_complete(self) -> None:
        """Raise what `acquire` raises for files that can't be all of a database; nobody is kept from starting a daemon.

        Call it before this process opens the database.
        """
        self._check_kinds()
        if self._examine(read_record(self.path.with_name(f"{self.path.name}.lock"))) is None:
            return
        try:
            self.acquire(None)  # looks again, at a record that nobody is changing
        except errors.StoreInUse:
            return  # a daemon writes, and the record was behind
        finally:
            self.release()

    def _examine(self, found: dict[str, Any]) -> str | None:
        """Return in words what is wrong with the files, going by the record in the lock file; None if nothing is."""
        self._record, self._store = WalRecord.parse(found.get(_WAL)), _text(found.get(_STORE))
        main, wal = _state(self.path), _size(self._wal)
        reason = what_is_missing(self._record, main, wal)
        # A database that changed since the record: somebody did a checkpoint, or it is another one.
        if reason is None and main is not None and main.st_size and not self._record.is_of(main):
            reason = what_is_wrong(self.path, self._store or None, self._record.position, has_wal=bool(wal))
        return reason

    def _check_kinds(self) -> None:
        for path in (
            self.path,
            self._wal,
            *(self.path.with_name(self.path.name + end) for end in ("-shm", "-journal")),
        ):
            found = _state(path)
            if found is None:
                continue
            if not stat.S_ISREG(found.st_mode):
                kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
                raise errors.InvalidSetting(setting=str(path), reason=f"it is {kind}")
            if found.st_nlink > 1:
                # SQLite names the WAL after the database: two names would have a WAL each (sqlite.org/howtocorrupt).
                reason = f"it has {found.st_nlink} names (hard links), which a database must not have: copy it instead"
                raise errors.InvalidSetting(setting=str(path), reason=reason)

    def name_store(self, store_id: str) -> None:
        """Record whose WAL it is from now on."""
        if store_id != self._store:
            self._store = store_id
            self._write(durable=True)

    def is_empty(self) -> bool:
        """Return whether there is no file, or one of 0 bytes."""
        found = _state(self.path)
        return found is None or found.st_size == 0

    def create(self) -> None:
        """Create the file for its owner only, whatever the umask, unless there is one."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(OSError):  # SQLite creates it too, and says why it can't
            os.close(os.open(self.path, flags, 0o600))

    # --- while it is open -----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Remember the files that the first connection opened; raise DatabaseReplaced if a later one opened others."""
        self.verify()
        with self._counting:
            self._connections += 1

    def closed(self) -> None:
        """Expect another WAL after the last connection is closed: SQLite deletes it then."""
        with self._counting:
            self._connections -= 1
            if not self._connections:
                self._identities.pop(self._wal, None)

    def verify(self) -> None:
        """Raise DatabaseReplaced unless database, WAL and lock at their paths are the files that are open.

        Raises DatabaseFailed if the system can't say.
        """
        self._check_lock()
        self._compare(self.path)
        self._compare(self._wal)

    def _check_lock(self) -> None:
        try:
            is_there = self._lock is None or self._lock.is_at_path()
        except OSError as error:
            raise _not_seen(self.path.with_name(f"{self.path.name}.lock"), error) from error
        if not is_there:
            # Another daemon would lock a new file, and there would be two that write.
            raise errors.DatabaseReplaced(reason="the lock of the database was deleted or is another file now")

    def _compare(self, path: Path) -> os.stat_result | None:
        found = _state(path)
        identity = self._identities.get(path)
        if found is not None and identity is None:
            self._identities[path] = (found.st_dev, found.st_ino)
        elif identity is not None and (found is None or (found.st_dev, found.st_ino) != identity):
            state = "was deleted or moved away" if found is None else "is another file now"
            what = "the database" if path == self.path else "the WAL of the database"
            raise errors.DatabaseReplaced(reason=f"{what} {state}")
        return found

    def committed(self) -> None:
        """Check that a commit can be acknowledged, and record it; raise DatabaseReplaced, or DatabaseFailed."""
        self._check_lock()
        main, wal = self._compare(self.path), self._compare(self._wal)
        if self._lock is not None and main is not None:
            record = self._record.after_commit(main, 0 if wal is None else wal.st_size)
            if record != self._record:
                durable = record.pending and not self._record.pending
                self._record = record
                self._write(durable=durable)

    def checkpointed(self, position: int | None) -> None:
        """Record the state after a checkpoint.

        `position` is that of the last commit; None: the database file may not have all commits yet.
        """
        with suppress(errors.DatabaseFailed):  # the record stays behind, as after a checkpoint of another program
            main, wal = _state(self.path), _size(self._wal)
            if main is not None:
                self._record = self._record.after_checkpoint(main, wal or 0, position)
                self._write(durable=True)

    def _write(self, *, durable: bool = False) -> None:
        # The record is a precaution: no commit fails because of it. A record that is behind raises no false alarm.
        if self._lock is not None:
            with suppress(OSError):
                record = {**self._holder, _WAL: self._record.to_dict(), _STORE: self._store}
                self._lock.write(record, durable=durable)

    def release(self) -> None:
        """Release the lock; the files may change from now on."""
        self._identities.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _text(found: object) -> str:
    return found if isinstance(found, str) and is_store_id(found) else ""


def _state(path: Path) -> os.stat_result | None:
    """Return None if there is no such file; raise DatabaseFailed if the system can't say."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _not_seen(path, error) from error


def _not_seen(path: Path, error: OSError) -> errors.DatabaseFailed:
    """Return the error: that the system can't say anything about a file does not mean that it is gone."""
    return errors.DatabaseFailed(reason=f"{path} can't be looked at: {full_disk.reason(error)}")


def _size(path: Path) -> int | None:
    found = _state(path)
    return None if found is None else found.st_size
