"""The home that a backup is restored into: it has no content, and nobody uses it meanwhile.

From the first change to the last, a marker lies in the home (protocol.restore_marker): no daemon starts there. The
database and the blobs that it names are of an earlier restore, which this one completes. Any others are not.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from opstore_daemon.backup import database_copy, files
from opstore_daemon.config import Config
from opstore_daemon.home import locked
from opstore_daemon.metadata.sqlite.connections import path_of
from opstore_daemon.metadata.url import server_of
from opstore_daemon.protocol import errors, restore_marker
from opstore_daemon.savers import BaseSaver
from opstore_daemon.system.lock_file import Busy, LockFile, holder

BESIDE = ("-wal", "-shm", "-journal")  # what SQLite adds to the name of a database


class RestoredHome:
    """The places of a store that is being restored: `path` is the home."""

    def __init__(self, config: Config) -> None:
        """Find the places; raise BackupRefused for a database or blobs in memory."""
        server = server_of(config.db_url)
        if server is not None:
            advice = "restore into files, without --db; then opstore migrate moves the store there"
            raise errors.BackupRefused(reason=f"a backup can't be restored into {server}", advice=advice)
        database, folder = path_of(config.db_url), config.saver_folder
        if config.is_in_object_store:
            advice = "restore into files, without --saver; then opstore migrate moves the store there"
            raise errors.BackupRefused(reason="a backup can't be restored into an object store", advice=advice)
        if database is None or folder is None:
            reason = "a backup can't be restored into memory: give a --db and a --saver that are on a disk"
            raise errors.BackupRefused(reason=reason, advice="")
        self.path, self.database, self.folder, self._config = config.home, database, folder, config
        self._marker = config.home / restore_marker.MARKER

    @property
    def places(self) -> list[Path]:
        """The folders and files of the store."""
        return [self.path, self.database, self.folder]

    @contextmanager
    def held(self) -> Iterator[BaseSaver]:
        """Hold the home, the database and the blobs in the context, which gets the saver of the blobs.

        Raises HomeNotEmpty, HomeLocked, StoreInUse, BackupInUse for another restore, and errors of the disk. Then
        nothing in the home was changed.
        """
        self._check_empty()  # first: it may be the home of a daemon that runs
        with self._home_lock(), files.translated(self.path), self._database_lock():
            self._check_empty()
            saver = self._config.saver()
            try:
                saver.acquire(str(self.path))
                yield saver
            finally:
                saver.release()

    @contextmanager
    def _home_lock(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._config, restores=True))
            except errors.HomeLocked:
                if restore_marker.read(self.path) is None:
                    raise
                raise errors.BackupInUse(folder=str(self.path)) from None
            yield

    @contextmanager
    def _database_lock(self) -> Iterator[None]:
        try:
            self._lock = LockFile(self.database.with_name(f"{self.database.name}.lock"))
        except Busy as busy:
            raise errors.StoreInUse(what=f"the database {self.database}", holder=busy.holder) from None
        try:
            yield
        finally:
            self._lock.close()

    # --- its content ----------------------------------------------------------------------------------------------

    def _check_empty(self) -> None:
        """Raise HomeNotEmpty, unless the places are empty, have a store without content, or are those of the marker."""
        marker = restore_marker.read(self.path)
        names = (None, None) if marker is None else (marker.database, marker.blobs)
        with files.translated(self.path):
            reason = None
            if names[0] != restore_marker.name_of(self.database):
                reason = self._what_is_in_database()
            if names[1] != restore_marker.name_of(self.folder):
                reason = reason or self._what_is_in_blobs()
        if reason is not None:
            raise errors.HomeNotEmpty(home=str(self.path), reason=reason)

    def _what_is_in_database(self) -> str | None:
        if not _has_bytes(self.database):
            wal = self.database.with_name(f"{self.database.name}-wal")
            return f"{wal} has commits of a database that is missing" if _has_bytes(wal) else None
        try:
            with database_copy.snapshot(self.database) as connection:
                if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                    return None
                (position,) = connection.execute("SELECT position FROM counter").fetchone()
                ops = connection.execute("SELECT 1 FROM op").fetchone()
        except (sqlite3.Error, TypeError) as error:
            return f"{self.database} can't be read: {error}"
        return f"its database is at position {position} of the journal" if position or ops else None

    def _what_is_in_blobs(self) -> str | None:
        if not self.folder.is_dir():
            return None
        saver = self._config.saver()
        store_id = saver.store_id()
        if store_id is not None and not _has_bytes(self.database):
            return f"{self.folder} belongs to the store {store_id}, whose database is missing"
        if saver.has_blobs():
            return f"{self.folder} has blobs"
        return f"{self.folder} has unfinished uploads" if any(saver.drafts()) else None

    # --- its changes ----------------------------------------------------------------------------------------------

    def mark(self, source: Path, options: tuple[str, ...]) -> None:
        """Mark the home as unfinished, durably: `source` is restored with these options. Raises OSError."""
        marker = restore_marker.marker_of(source, options, database=self.database, blobs=self.folder)
        files.replace(self._marker, msgspec.json.encode(marker) + b"\n")

    def unmark(self) -> None:
        """Delete the marker, durably. Raises OSError."""
        files.sync_names(self.path)
        os.unlink(self._marker)
        files.sync_names(self.path)

    def place_database(self, part: Path) -> None:
        """Give the complete database its name, durably, in place of one without content. Raises OSError."""
        self._lock.write(holder(str(self.path)))  # what it says of an earlier WAL is no longer true
        for suffix in BESIDE:
            with suppress(FileNotFoundError):
                os.unlink(f"{self.database}{suffix}")
        files.publish(part, self.database)
        files.sync_names(self.database.parent)

    def delete_parts(self) -> None:
        """Delete the incomplete files that an interrupted restore left. Raises OSError."""
        for target in (self.database, self._marker):
            for name in os.listdir(target.parent):
                if name.startswith(f".{target.name}.") and files.is_part(name.removesuffix("-journal")):
                    os.unlink(target.parent / name)


def _has_bytes(path: Path) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False
