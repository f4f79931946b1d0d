"""Restore a backup into a home without content: the blobs first, then the database by one rename.

Everything is compared with the manifest as it is copied. Until the database has its name there is no store in the home,
and until the marker is gone no daemon starts there: a restore that was interrupted is completed by the same command.
"""

import os
import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path

from opstore_daemon.backup import database_copy, files
from opstore_daemon.backup.blobs import Damaged, counted, opener, pieces_in, pieces_of, verified
from opstore_daemon.backup.folder import BackupFolder, check_apart
from opstore_daemon.backup.home import RestoredHome
from opstore_daemon.backup.manifest import Manifest
from opstore_daemon.backup.reporting import Report, Step, count_of
from opstore_daemon.backup.verification import damaged, verified_database
from opstore_daemon.config import Config
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Problem, Restored
from opstore_daemon.protocol.digests import PREFIX, Digest
from opstore_daemon.savers import BaseSaver
from opstore_daemon.system.stray_bytes import escape_stray_bytes


def restore(
    config: Config,
    path: Path,
    report: Report,
    *,
    clone: bool = False,
    partial: bool = False,
    options: tuple[str, ...] = (),
) -> Restored:
    """Restore the backup at `path` into the home, the database and the saver of the settings.

    `clone`: give the store a new id; `partial`: restore what is intact of a damaged backup; `options`: those of the
    command, with which an interrupted restore is completed. Raises HomeNotEmpty, HomeLocked, StoreInUse,
    BackupNotFound, BackupDamaged, BackupTooNew, SchemaTooNew, BackupRefused, and errors of the disks.
    """
    folder, home = BackupFolder.existing(path), RestoredHome(config)
    check_apart(folder.path, path, home.places, "where it is to be restored")
    with folder.reading():
        manifest = folder.require_manifest()
        database = verified_database(folder, manifest, folder.path / manifest.database.name)
        if not partial:
            _check_sizes(folder, manifest, database, report)
        with home.held() as saver:
            home.delete_parts()
            home.mark(Path(os.path.abspath(path)), options)
            problems = _restore_blobs(folder, manifest, database, saver, report)
            if problems and not partial:
                raise _incomplete(folder, len(problems), manifest)
            store_id = uuid.uuid4().hex if clone else manifest.store_id
            saver.claim(store_id)
            _restore_database(folder, manifest, home, store_id, problems)
            saver.record_position(manifest.position)
            home.unmark()
    return Restored(
        **{**folder.describe(manifest), "store_id": store_id},
        home=escape_stray_bytes(str(home.path)),
        clone_of=manifest.store_id if clone else None,
        missing=tuple(problems),
    )


def _incomplete(folder: BackupFolder, count: int, manifest: Manifest) -> errors.BackupDamaged:
    error = damaged(folder, f"{count} of {count_of(manifest.blobs, 'blob')} can't be restored")
    error.advice = "copy them from where they are intact; --partial restores the rest without them"
    return error


def _check_sizes(folder: BackupFolder, manifest: Manifest, database: Path, report: Report) -> None:
    """Raise BackupDamaged if a blob is missing or has another size, before anything is restored."""
    problems, known = 0, {blob.digest: blob.problem for blob in manifest.missing}
    with database_copy.translated(database), database_copy.opened_copy(database) as connection:
        for prefix, blobs in database_copy.blobs(connection, database):
            sizes = folder.blob_sizes(prefix)
            for hex_digits, size in blobs:
                found = sizes.get(hex_digits)
                if found != size:
                    words = known.get(PREFIX + hex_digits)
                    if words is None:
                        words = "is missing" if found is None else f"has {count_of(found, 'byte')} instead of {size}"
                    report(database_copy.problem(connection, hex_digits, words))
                    problems += 1
    if problems:
        raise _incomplete(folder, problems, manifest)


def _restore_blobs(
    folder: BackupFolder, manifest: Manifest, database: Path, saver: BaseSaver, report: Report
) -> list[Problem]:
    """Copy the blobs that are intact, and return the problems of the others."""
    for upload in list(saver.drafts()):  # of an interrupted restore: nobody else has used the home
        saver.discard(upload)
    problems: list[Problem] = []
    step = Step(report, f"restoring {count_of(manifest.blobs, 'blob')}", manifest.blobs_size)
    with database_copy.translated(database), database_copy.opened_copy(database) as connection:
        for _, blobs in database_copy.blobs(connection, database):
            for hex_digits, size in blobs:
                try:
                    if not _has(saver, hex_digits, size, step):
                        _restore_blob(folder, hex_digits, size, saver, step)
                except Damaged as damage:
                    problems.append(database_copy.problem(connection, hex_digits, str(damage)))
                    report(problems[-1])
    return problems


def _has(saver: BaseSaver, hex_digits: str, size: int, step: Step) -> bool:
    """Return whether an interrupted restore has restored the blob."""
    digest = Digest(PREFIX + hex_digits)
    if digest not in saver or saver.size(digest) != size:
        return False
    try:
        for _ in verified(pieces_in(opener(saver, hex_digits)), hex_digits, size):
            pass
    except Damaged:
        return False
    step.advance(size)
    return True


def _restore_blob(folder: BackupFolder, hex_digits: str, size: int, saver: BaseSaver, step: Step) -> None:
    """Copy one blob; raise Damaged and errors of the disks."""
    upload = uuid.uuid4().hex
    with closing(saver.draft(upload)) as draft:
        try:
            for piece in counted(verified(pieces_of(folder, hex_digits), hex_digits, size), step):
                draft.append(piece)
            draft.publish(Digest(PREFIX + hex_digits))
        finally:
            saver.discard(upload)


def _restore_database(
    folder: BackupFolder, manifest: Manifest, home: RestoredHome, store_id: str, problems: list[Problem]
) -> None:
    with files.part_of(home.database) as part:
        files.write(part, files.pieces_of(folder.path / manifest.database.name))
        verified_database(folder, manifest, part)
        if problems or store_id != manifest.store_id or _has_marks(part) or _has_sessions(part):
            with database_copy.translated(part, written=part):
                _change(part, store_id, problems)
            files.sync(part)
        home.place_database(part)


def _has_marks(database: Path) -> bool:
    """Return whether blobs of the store are marked as damaged. Raises errors of the database."""
    with database_copy.translated(database), database_copy.opened_copy(database) as connection:
        return _has_table_of_marks(connection) and bool(connection.execute("SELECT 1 FROM damaged_blob").fetchone())


def _has_sessions(database: Path) -> bool:
    """Return whether the database has sessions of the page, which may have ended since the backup.

    Raises errors of the database.
    """
    with database_copy.translated(database), database_copy.opened_copy(database) as connection:
        tables = _tables_of_sessions(connection)
        return any(connection.execute(f"SELECT 1 FROM {table}").fetchone() for table in tables)  # noqa: S608


def _tables_of_sessions(connection: sqlite3.Connection) -> list[str]:
    """Return the tables of the sessions of the page that the schema has: those before 0012 have none."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('page_code', 'page_session')")
    return [name for (name,) in found]


def _has_table_of_marks(connection: sqlite3.Connection) -> bool:
    """Return whether the schema has a table of damaged blobs: those before 0011 have none."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'damaged_blob'").fetchone() is not None


def _change(database: Path, store_id: str, problems: list[Problem]) -> None:
    """Give the database a store id, mark the blobs that it lacks, and no others, and end the sessions of the page.

    Raises sqlite3.Error.
    """
    now = time.time_ns() // 1000
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # a daemon changes it to WAL
        connection.execute("BEGIN")
        connection.execute("UPDATE store SET id = ?", (store_id,))
        for table in _tables_of_sessions(connection):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        if _has_table_of_marks(connection):
            connection.execute("DELETE FROM damaged_blob")  # what was restored is intact, whatever the store had
            connection.executemany(
                "INSERT INTO damaged_blob (digest, problem, found_at) VALUES (?, ?, ?)",
                [(each.digest, f"it {each.problem} (in the backup)", now) for each in problems],
            )
        connection.execute("COMMIT")
