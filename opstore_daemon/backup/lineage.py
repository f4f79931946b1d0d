"""Whether a store is the one whose backup a folder has, later: only then may a new backup replace that one.

A store that was restored from an older backup has the same id, and ends where it was then, or went on in another way.
Its backup would take the place of entries and bytes that are in no other place.
"""

import sqlite3

from opstore_daemon.backup import database_copy
from opstore_daemon.backup.database_copy import Facts
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.backup.manifest import position_in
from opstore_daemon.protocol import errors


def check_later(folder: BackupFolder, source: sqlite3.Connection, found: Facts) -> None:
    """Raise BackupDiverged unless the store that `source` reads goes on from the backup in the folder, if it has one.

    Without a manifest that can be read, each copy of a database in the folder counts: it may be the only good one.
    Raises OSError, and sqlite3.Error for the store.
    """
    try:
        known = folder.manifest()
    except errors.BackupDamaged:
        known = None  # a new backup repairs it
    if known is not None:
        _check_copy(folder, known.database.name, known.position, source, found)
        return
    for name in folder.databases():
        _check_copy(folder, name, position_in(name), source, found)


def _check_copy(folder: BackupFolder, name: str, position: int, source: sqlite3.Connection, found: Facts) -> None:
    if position > found.position:
        reason = f"it ends at position {position} of the journal, and the store at {found.position}"
        raise errors.BackupDiverged(folder=str(folder.path), reason=reason)
    try:
        with database_copy.opened_copy(folder.path / name) as copy:
            before = _entry(copy, position)
    except sqlite3.Error:
        return  # the copy is missing or damaged: a new backup repairs it
    if before != _entry(source, position):
        reason = f"position {position} of the journal, where it ends, is another entry in the store"
        raise errors.BackupDiverged(folder=str(folder.path), reason=reason)


def _entry(connection: sqlite3.Connection, position: int) -> object:
    """Return what no release changes of an entry of the journal; None if there is none."""
    return connection.execute("SELECT at, kind FROM journal WHERE position = ?", (position,)).fetchone()
