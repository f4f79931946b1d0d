"""Copy a database before it is upgraded: the whole copy has its name, or there is none."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from opstore_daemon.metadata.sqlite import failures
from opstore_daemon.protocol import errors
from opstore_daemon.system.folder_sync import sync_folder


def back_up(database: Path, backup: Path) -> None:
    """Copy the database durably to `backup`, replacing an earlier copy.

    Raises StorageFull, also if there is no space for the copy and for an upgrade that rewrites every page, and
    DatabaseFailed.
    """
    new = backup.with_name(f"{backup.name}.new")
    try:
        with closing(sqlite3.connect(database)) as source:
            _check_room(source, database)
            new.unlink(missing_ok=True)
            # SQLite would create it for everybody, if the umask of the program allows that.
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(new)) as target:
                source.backup(target)
        with open(new, "rb") as copy:
            os.fsync(copy.fileno())
        os.replace(new, backup)
        sync_folder(backup.parent)
    except (sqlite3.Error, OSError) as error:
        new.unlink(missing_ok=True)
        raise failures.to_opstore_error(error, database, errors.DatabaseFailed) from error


def _check_room(source: sqlite3.Connection, database: Path) -> None:
    (pages,), (size,) = source.execute("PRAGMA page_count").fetchone(), source.execute("PRAGMA page_size").fetchone()
    found = os.statvfs(database.parent)
    needed, free = 2 * pages * size, found.f_bavail * found.f_frsize
    if needed > free:
        raise errors.StorageFull(
            reason=f"the upgrade of {database} needs {needed} bytes, one half for a backup, and {free} are free"
        )
