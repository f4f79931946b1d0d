"""The new place of the store: empty, or an unfinished migration of the same store.

From the first change to the last, the database has a marker (metadata.unfinished) if it is filled, and the blobs carry
an id that is no store's (protocol.store_ids.unfinished_id): no daemon starts with either. The marker goes last.

If the database stays where it is, so does everything in it. It gets a marker only if it records the objects of the new
saver: a daemon with the old saver does not look at it, so the store can be used where it is.
"""

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import func, select

from opstore_daemon.metadata import Database, Migrate, unfinished
from opstore_daemon.metadata.tables import StoredObject
from opstore_daemon.metadata.unfinished import MARKER, Marker
from opstore_daemon.migration.places import Places, check_apart, check_parent, refuse
from opstore_daemon.migration.source import Source
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.sizes import format_size
from opstore_daemon.protocol.store_ids import unfinished_id
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.file_examination import NAMES

_NOT_CONTENT = {"lost+found", "System Volume Information"}
_OTHER_PLACE = "finish that one first, or give another database"


class _Tried(Exception):
    """Rolls back what was written to see whether it can be."""


@dataclass(frozen=True)
class Target:
    """The new place: `database` is that of the source if only the blobs move, `saver` if only the rows do.

    `saver` is None as long as a dry run would have to create its folder; `is_resumed`: a migration was interrupted.
    """

    places: Places
    database: Database
    saver: BaseSaver | None
    source: Source
    is_resumed: bool

    def check_writable(self) -> None:
        """Raise errors of the database if it can't be written. What is tried is rolled back."""
        if self.moves_rows and not self.database.is_empty():
            with suppress(_Tried), self.database.write_schema() as connection:
                MARKER.create(connection, checkfirst=True)
                raise _Tried

    @property
    def moves_rows(self) -> bool:
        """Whether the rows move to another database."""
        return self.database is not self.source.database

    @property
    def moves_blobs(self) -> bool:
        """Whether the blobs move to another saver."""
        return self.saver is not self.source.saver

    def check_size(self, largest: int) -> None:
        """Raise MigrationRefused if the saver can't store a blob of so many bytes."""
        limit = None if self.saver is None else self.saver.max_size
        if limit is not None and largest > limit:
            most = f"{self.places.saver_url} takes {format_size(limit)} at most"
            refuse(f"the store has a blob of {format_size(largest)}, and {most}")

    def begin(self, command: str) -> Marker | None:
        """Mark the target as unfinished, and create the schema; return the marker if the database has one."""
        saver, store_id = self.saver, self.source.store_id
        assert saver is not None  # noqa: S101 - this is no dry run
        run = uuid.uuid4().hex
        marker = Marker(store_id, self.places.database_url, saver.place(), command, self.moves_rows, run)
        is_marked = self.moves_rows or saver.needs_records
        if self.moves_rows:
            Migrate(self.database).upgrade(store_id, also=partial(unfinished.write, marker=marker))
            self._check_marked()
            self.database.name_store(store_id)
        if is_marked:
            with self.database.write_schema() as connection:
                unfinished.write(connection, marker)
        if self.moves_blobs:
            if saver.store_id() is None:
                saver.claim(unfinished_id(store_id))
            for upload in list(saver.drafts()):  # of a migration that was interrupted: nobody else has used it
                saver.discard(upload)
        return marker if is_marked else None

    def _check_marked(self) -> None:
        with self.database.read() as connection:
            if unfinished.read(connection) is None:
                raise errors.TargetNotEmpty(target=self.places.database_url, reason="a store began there just now")

    def check(self, marker: Marker | None) -> None:
        """Raise StoreInUse if another process has taken the migration over, which only the marker tells."""
        if marker is not None:
            with self.database.read() as connection:
                unfinished.require(connection, marker)

    def finish(self, position: int, marker: Marker | None) -> None:
        """Make the target the place of the store: daemons start with it from now on."""
        assert self.saver is not None  # noqa: S101
        self.check(marker)
        if self.moves_blobs:
            self.saver.claim(self.source.store_id)
        self.saver.record_position(position)
        if marker is not None:
            self.database.analyze()
            with self.database.write_schema() as connection:
                unfinished.drop(connection, marker)
            self.database.schema_changed()


@contextmanager
def opened(places: Places, source: Source, *, new_database: bool, new_saver: bool, dry_run: bool) -> Iterator[Target]:
    """Open the new place in the context; nothing of it is changed yet.

    `new_database`, `new_saver`: it is not that of the source, whatever the URL says.
    Raises MigrationRefused, TargetNotEmpty, StoreInUse, and errors of the database and the saver.
    """
    with ExitStack() as stack:
        with places.named():  # some options of a URL are checked while it connects
            database = _database(places, source, stack, dry_run=dry_run) if new_database else source.database
            marker = _marker(database, places, source) if new_database else _partial_marker(database)
        saver: BaseSaver | None = source.saver
        if new_saver:
            if (folder := places.folder) is not None:
                _check_folder(folder, source)
            saver = None if dry_run and folder is not None and not folder.is_dir() else places.saver(database)
        if saver is not None and new_saver:
            saver.acquire()
            stack.callback(saver.release)
        if marker is not None and not new_database and (saver is None or not saver.needs_records):
            marker = None  # of a migration to a bucket, with which this one has nothing to do
        is_resumed = marker is not None
        if saver is not None and marker is not None and marker.saver != saver.place():
            reason = f"an unfinished migration to {database.name} puts its blobs to {marker.saver or 'another place'}"
            refuse(reason, f"finish it: {marker.command}")
        if saver is not None and new_saver:
            is_resumed = _check_saver(saver, marker, source, in_place=not new_database) or is_resumed
        yield Target(places, database, saver, source, is_resumed)


# --- the database ---


def _database(places: Places, source: Source, stack: ExitStack, *, dry_run: bool) -> Database:
    database = places.database
    if database.path is not None:
        folder = source.places.folder
        others = [path for path in (source.database.path, folder) if path is not None]
        check_apart(database.path, others)
        check_parent(database.path)
        _check_writable(database.path.parent)
        if places.folder is not None and (places.folder == database.path or places.folder in database.path.parents):
            refuse(f"{database.path} is inside of {places.folder}, the folder of the blobs")
    if dry_run and database.is_empty():
        stack.callback(database.close)
        return database
    stack.callback(database.close)
    database.acquire()
    return database


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        refuse(f"nothing can be written to {folder}: permission denied", "choose another place")


def _marker(database: Database, places: Places, source: Source) -> Marker | None:
    """Return the marker of an unfinished migration of the store; raise TargetNotEmpty for any other content."""
    if database.is_empty():
        return None
    migrate = Migrate(database)
    tables = migrate.tables()
    if not tables:
        return None
    target = places.database_url
    if MARKER.name not in tables:
        raise errors.TargetNotEmpty(target=target, reason=_what_is_in(database, migrate, tables, source.store_id))
    with database.read() as connection:
        marker = unfinished.read(connection)
    if marker is None or marker.store_id != source.store_id or not marker.is_whole:
        reason = "an unfinished migration of another store is there"
        raise errors.TargetNotEmpty(target=target, reason=reason)
    if migrate.current() not in (None, migrate.head()):
        reason = f"an unfinished migration is there, which another release of opstore began ({migrate.current()})"
        raise errors.TargetNotEmpty(target=target, reason=reason)
    return marker


def _partial_marker(database: Database) -> Marker | None:
    with database.read() as connection:
        return unfinished.read(connection)


def _what_is_in(database: Database, migrate: Migrate, tables: set[str], store_id: str) -> str:
    if migrate.current() is None:
        return f"it has the table {min(tables)}"
    found = database.store_id()
    if found == store_id:
        return f"the store {found} is there already; if a migration put it there, that one is finished"
    return f"the store {found} is there"


# --- the saver ---


def _check_folder(folder: Path, source: Source) -> None:
    """Raise MigrationRefused or TargetNotEmpty for a folder that can't be filled, before it is created."""
    real = Path(os.path.realpath(folder))
    others = [path for path in (source.places.folder, source.database.path) if path is not None]
    check_apart(real, others)
    try:
        found = os.stat(real)
    except FileNotFoundError:
        if folder.is_symlink():
            refuse(f"{folder} is a symbolic link to {real}, which does not exist")
        check_parent(real)
        _check_writable(real.parent)
        return
    except OSError as error:
        refuse(f"{folder} can't be looked at: {errors.reason(error)}")
    if not stat.S_ISDIR(found.st_mode):
        refuse(f"{folder} is not a directory")
    _check_writable(real)
    for name in sorted(os.listdir(real)):
        if name not in NAMES | _NOT_CONTENT and not name.startswith("."):
            raise errors.TargetNotEmpty(target=str(folder), reason=f"{name} is there")


def _check_saver(saver: BaseSaver, marker: Marker | None, source: Source, *, in_place: bool) -> bool:
    """Return whether a migration of the store was interrupted there; raise TargetNotEmpty for any other content.

    `in_place`: the database stays the same.
    """
    found, target = saver.store_id(), saver.place()
    if found == unfinished_id(source.store_id):
        return True
    if found == source.store_id:
        if marker is not None:
            return True  # interrupted before the marker went
        reason = "the blobs of this store are there already; if a migration put them there, that one is finished"
        raise errors.TargetNotEmpty(target=target, reason=reason)
    if found is not None:
        raise errors.TargetNotEmpty(target=target, reason=f"it belongs to the store {found}")
    if saver.needs_records and in_place:
        _check_no_objects(source)
    _check_no_blobs(saver)
    return False


def _check_no_objects(source: Source) -> None:
    """Raise MigrationRefused if the database that stays records objects, of which one saver can be right only."""
    with source.database.read() as connection:
        count = connection.execute(select(func.count()).select_from(StoredObject)).scalar_one()
    if count:
        refuse(
            f"the database has the records of {count} objects in another bucket",
            "give a new database too (--to-db), which gets records of its own",
        )


def _check_no_blobs(saver: BaseSaver) -> None:
    """Raise TargetNotEmpty if there is anything in a saver that no store has claimed."""
    reason = saver.content()
    if reason is not None:
        raise errors.TargetNotEmpty(target=saver.place(), reason=reason)
