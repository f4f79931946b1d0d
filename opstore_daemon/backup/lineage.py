"""Whether a store is the one whose backup a folder has, later: only then may a new backup replace that one.

A store that was restored from an older backup has the same id, and ends where it was then, or went on in another way.
Its backup would take the place of entries and bytes that are in no other place.
"""

import sqlite3

from opstore_daemon.backup import database_copy
from opstore_daemon.backup.database_copy import Facts
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.protocol import errors


def check_later(folder: BackupFolder, source: sqlite3.Connection, found: Facts) -> None:
    """Raise BackupDiverged unless the store that `source` reads goes on from the backup in the folder, if it has one.

    Raises sqlite3.Error for the store.
    """
    try:
        known = folder.manifest()
    except errors.BackupDamaged:
        return  # a new backup repairs it
    if known is None:
        return
    if known.position > found.position:
        reason = f"it ends at position {known.position} of the journal, and the store at {found.position}"
        raise errors.BackupDiverged(folder=str(folder.path), reason=reason)
    try:
        with database_copy.opened_copy(folder.path / known.database.name) as copy:
            before = _entry(copy, known.position)
    except sqlite3.Error:
        return  # the copy is missing or damaged: the same
    if before != _entry(source, known.position):
        reason = f"position {known.position} of the journal, where it ends, is another entry in the store"
        raise errors.BackupDiverged(folder=str(folder.path), reason=reason)


def _entry(connection: sqlite3.Connection, position: int) -> object:
    """Return what no release changes of an entry of the journal; None if there is none."""
    return connection.execute("SELECT at, kind FROM journal WHERE position = ?", (position,)).fetchone()
