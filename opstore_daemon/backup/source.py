"""The store that is backed up: its files, and whether they are whole and belong together.

A backup of half a store would look like a backup. So this refuses what a daemon would refuse to start with.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from opstore_daemon.backup import database_copy
from opstore_daemon.backup.database_copy import Facts
from opstore_daemon.config import Config
from opstore_daemon.metadata.sqlite.connections import path_of
from opstore_daemon.metadata.sqlite.database_file import DatabaseFile
from opstore_daemon.metadata.url import server_of
from opstore_daemon.protocol import errors, restore_marker, runtime_file
from opstore_daemon.protocol.digests import PREFIX, Digest
from opstore_daemon.rules.store_binding import DatabaseState, SaverState, decide
from opstore_daemon.savers import BaseSaver, MemorySaver
from opstore_daemon.system.lock_file import is_locked

ELSEWHERE = "back it up with pg_dump or with its server's own tools; see Operations in the documentation"
OBJECTS_ELSEWHERE = (
    "copy the database and keep the objects (see Operations in the documentation), or copy the store into files with "
    "opstore migrate"
)
EXAMINED = 100  # stored versions, in search of one whose bytes the saver has


class Source:
    """The files of a store: the database at `database`, and the blobs of `saver`."""

    def __init__(self, config: Config) -> None:
        """Find the files; raise BackupRefused, StoreNotFound, RestoreUnfinished, and errors of the database."""
        restore_marker.check(config.home)
        server = server_of(config.db_url)
        if server is not None:
            raise errors.BackupRefused(reason=f"the database is in a server, {server}", advice=ELSEWHERE)
        database = path_of(config.db_url)
        if database is None:
            _refuse("the database is in memory: nothing of it outlives the daemon")
        self.home, self.database = config.home, database
        self._has_daemon = _has_daemon(config)
        self._bound: str | None = None  # the store id that the blobs carried at the beginning
        if not _has_bytes(database) and not _has_bytes(_beside(database, "-wal")):
            self._explain_missing_database(config)
        with database_copy.translated(database):
            DatabaseFile(database).check_complete()
        if config.is_in_object_store:
            _refuse(f"its bytes are in an object store, {config.saver_url}", OBJECTS_ELSEWHERE)
        saver = config.saver()
        if isinstance(saver, MemorySaver):
            _refuse("the bytes are in memory: nothing of them outlives the daemon")
        self.saver: BaseSaver = saver
        self._check_daemon()

    @property
    def places(self) -> list[Path]:
        """The folders and files of the store."""
        return [self.home, self.database, Path(self.saver.place())]

    @contextmanager
    def snapshot(self) -> Iterator[tuple[sqlite3.Connection, Facts]]:
        """Read one state of the database in the context, with what it says about the store.

        Raises errors of the database, and those of a database and blobs that don't belong together.
        """
        recorded = self.saver.position()  # first: the database has at least the commits up to it
        with database_copy.translated(self.database), database_copy.snapshot(self.database) as connection:
            found = database_copy.facts(connection, self.database)
            self._check_binding(connection, found, recorded)
            yield connection, found

    def check_place(self, store_id: str) -> None:
        """Raise StorageFailed if the blobs are no longer those of the store, such as on a disk that was unmounted."""
        if self.saver.store_id() not in (store_id, self._bound):
            raise errors.StorageFailed(reason=f"{self.saver.place()} is not the folder that it was at the beginning")

    @contextmanager
    def collection_held(self) -> Iterator[None]:
        """Keep the collector away from the blobs in the context. Raises StorageFailed."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.saver.collection_lock.shared())
            except errors.StorageFailed as error:
                # Nobody collects on a read-only disk.
                if getattr(error.__cause__, "errno", None) != errno.EROFS:
                    raise
            yield

    # --- what is refused ------------------------------------------------------------------------------------------

    def _explain_missing_database(self, config: Config) -> None:
        folder = config.saver_folder
        blobs = config.saver() if folder is not None and folder.is_dir() else None  # it would create a folder
        store_id = None if blobs is None else blobs.store_id()
        if blobs is not None and store_id is not None and not self._has_daemon:
            reason = f"{self.database} does not exist, and the blobs are of the store {store_id}"
            raise errors.DatabaseLost(saver=blobs.place(), reason=reason)
        raise errors.StoreNotFound(database=str(self.database))

    def _check_daemon(self) -> None:
        if not self._has_daemon:
            return
        files = {
            "database": (self.database, _beside(self.database, ".lock")),
            "blobs": (self.saver.place(), Path(self.saver.place(), "lock")),
        }
        for what, (place, lock) in files.items():
            if not is_locked(lock):
                _refuse(
                    f"the daemon of {self.home} does not use the {what} {place}",
                    "give the --db and the --saver that it was started with",
                )

    def _check_binding(self, connection: sqlite3.Connection, found: Facts, recorded: int) -> None:
        saver, name, place = self.saver, str(self.database), self.saver.place()
        self._bound = saver.store_id()
        state = DatabaseState("existing", found.store_id, found.stored > 0, found.position)
        decision = decide(
            state,
            SaverState(
                saver.carries_id,
                self._bound,
                has_blobs=self._bound is not None or saver.has_blobs(),
                holds_newest=self._bound is None and self._holds_some(connection),
                position=recorded,
            ),
        )
        if decision == "commits lost":
            reason = f"it ends at position {found.position} of the journal, and {place} has the blobs up to {recorded}"
            raise errors.DatabaseDamaged(database=name, reason=f"its last commits are missing: {reason}")
        if decision == "mismatch":
            of_database = f"the store {found.store_id}"
            raise errors.StoreMismatch(database=name, of_database=of_database, saver=place, of_saver=self._bound)
        if decision == "blobs lost":
            raise errors.BlobsLost(database=name, saver=place, reason=f"{place} has none of them, and no store id")

    def _holds_some(self, connection: sqlite3.Connection) -> bool:
        newest = "SELECT digest FROM version WHERE digest IS NOT NULL ORDER BY stored_position DESC LIMIT ?"
        rows = connection.execute(newest, (EXAMINED,)).fetchall()
        return any(Digest.parse(digest) in self.saver for (digest,) in rows if digest.startswith(PREFIX))


def _has_daemon(config: Config) -> bool:
    """Return whether a daemon of the home listens: it has locked its database and its blobs by then."""
    return runtime_file.read(config.home) is not None and is_locked(config.lock_file)


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(f"{database.name}{suffix}")


def _has_bytes(path: Path) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _refuse(reason: str, advice: str = "") -> NoReturn:
    raise errors.BackupRefused(reason=f"this store can't be backed up: {reason}", advice=advice)
