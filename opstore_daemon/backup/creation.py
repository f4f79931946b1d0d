"""Back up the store: the database first, then the blobs that its copy names, and the manifest last.

Until the new manifest is in place, the previous backup in the folder is whole: nothing that it names is changed or
deleted. An interrupted backup leaves blobs, which the next one finds.
"""

import errno
import os
import sqlite3
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from opstore_daemon.backup import blobs, checksums, database_copy, files, manifest
from opstore_daemon.backup.blobs import Copied
from opstore_daemon.backup.database_copy import Facts
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.backup.lineage import check_later
from opstore_daemon.backup.manifest import DatabaseCopy, Manifest, MissingBlob
from opstore_daemon.backup.reporting import Report, Step
from opstore_daemon.backup.source import Source
from opstore_daemon.config import Config
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.backup_lines import BackedUp
from opstore_daemon.system.stray_bytes import escape_stray_bytes


def back_up(config: Config, path: Path, report: Report, *, checksum: bool = False, prune: bool = False) -> BackedUp:
    """Back up the store of the settings into the folder at `path`.

    `checksum`: read the blobs that the folder has already, too, and copy damaged ones again; `prune`: delete the blobs
    that this backup does not need. Blobs that are damaged or missing in the store are reported, and the rest is backed
    up. Raises BackupRefused, BackupDiverged, and errors of the store and of the folder.
    """
    source = Source(config)
    folder = BackupFolder.to_write(path, source.places)
    with source.collection_held(), ExitStack() as held:
        with source.snapshot() as (connection, found):
            is_locked = held.enter_context(folder.claimed(found.store_id))
            check_later(folder, connection, found)
            database = _copy_database(connection, found, source.database, folder, report)
        # The snapshot has ended, so that the daemon can empty its WAL again.
        copied = blobs.copy(source.saver, folder.path / database.name, folder, report, checksum=checksum)
        source.check_place(found.store_id)
        made = _manifest(found, database, copied)
        pruned = _finish(folder, made, is_locked=is_locked, prune=prune)
    return _result(source, folder, made, copied, pruned)


def _copy_database(
    source: sqlite3.Connection, found: Facts, database: Path, folder: BackupFolder, report: Report
) -> DatabaseCopy:
    """Copy the database into the folder, verify the copy, and return what it is."""
    size = database_copy.size_of(source)
    step = Step(report, "copying the database", size)

    def progress(_status: int, remaining: int, total: int) -> None:
        step.advance_to(size * (total - remaining) // max(total, 1))

    with files.translated(folder.path), files.part_of(folder.path / f"opstore-{found.position}.db") as part:
        with database_copy.translated(database, written=part):
            database_copy.copy(source, part, progress)
            files.sync(part)
            sha256 = files.sha256_of(files.pieces_of(part))
            with database_copy.opened_copy(part) as copy:
                wrong = database_copy.what_is_wrong(copy)
                if wrong is not None:
                    raise errors.DatabaseDamaged(database=str(database), reason=wrong)
                if database_copy.facts(copy, part) != found:
                    raise OSError(errno.EIO, "the copy of the database was read back as another one", str(part))
        # The name has a part of the digest: the same position can have several contents, and none is replaced.
        made = DatabaseCopy(
            name=f"opstore-{found.position}-{sha256[:16]}.db", size=os.stat(part).st_size, sha256=sha256
        )
        files.publish(part, folder.path / made.name)
        files.sync_names(folder.path)
    return made


def _manifest(found: Facts, database: DatabaseCopy, copied: Copied) -> Manifest:
    return Manifest(
        store_id=found.store_id,
        position=found.position,
        schema=found.schema,
        schema_release=found.release,
        release=__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        database=database,
        ops=found.ops,
        versions=found.versions,
        stored=found.stored,
        blobs=found.blobs,
        blobs_size=found.blobs_size,
        missing=tuple(MissingBlob(digest=each.digest, problem=each.problem) for each in copied.problems),
    )


def _finish(folder: BackupFolder, made: Manifest, *, is_locked: bool, prune: bool) -> tuple[int, int]:
    """Put the manifest in place, then delete what it does not need; return numbers and bytes of the deleted blobs."""
    pruned = (0, 0)
    database = folder.path / made.database.name
    with files.translated(folder.path):
        previous = _previous_database(folder)
        files.replace(folder.path / manifest.NAME, manifest.encode(made))
        with database_copy.translated(database), database_copy.opened_copy(database) as connection:
            checksums.write(folder, made, connection)
            # Without a lock, another copy may be that of a backup that is running.
            for name in folder.databases() if is_locked else previous:
                if name != made.database.name:
                    os.unlink(folder.path / name)
            if prune:
                pruned = _prune(folder, database, connection)
    return pruned


def _previous_database(folder: BackupFolder) -> list[str]:
    try:
        found = folder.manifest()
    except errors.BackupDamaged:
        return []
    return [] if found is None else [name for name in folder.databases() if name == found.database.name]


def _prune(folder: BackupFolder, database: Path, connection: sqlite3.Connection) -> tuple[int, int]:
    """Delete the blobs that the database does not name; return their number and bytes. Raises OSError."""
    count = size = 0
    for prefix, needed in database_copy.blobs(connection, database):
        sizes = folder.blob_sizes(prefix, clean=True)
        for hex_digits in sizes.keys() - dict(needed).keys():
            os.unlink(folder.path_of(hex_digits))
            count, size = count + 1, size + sizes[hex_digits]
    return count, size


def _result(source: Source, folder: BackupFolder, made: Manifest, copied: Copied, pruned: tuple[int, int]) -> BackedUp:
    return BackedUp(
        **folder.describe(made),
        source=escape_stray_bytes(str(source.home)),
        copied=copied.copied,
        copied_size=copied.copied_size,
        present=copied.present,
        present_size=copied.present_size,
        pruned=pruned[0],
        pruned_size=pruned[1],
        missing=tuple(copied.problems),
    )
