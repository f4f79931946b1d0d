"""The store that is moved: nobody else writes to it, and nothing of it is changed.

A daemon on this machine is kept out by the locks that it would take itself. Those of a PostgreSQL database can be
anywhere: so the position of its journal is compared at the end.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from opstore_daemon.home import locked
from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.metadata.tables import Counter, Op, Upload, Version
from opstore_daemon.migration.places import Places, refuse
from opstore_daemon.protocol import errors, restore_marker
from opstore_daemon.protocol.backup_lines import Problem
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import journal
from opstore_daemon.store.examination import examine_database
from opstore_daemon.store.opening import check_together
from opstore_daemon.store.snapshot import NOW

_NAMED = 3  # versions that a problem names
_ELSEWHERE = "set OPSTORE_HOME, or give the --db and the --saver of its daemon"


class Wanted(NamedTuple):
    """A blob that the store needs."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Facts:
    """The numbers of what is moved (protocol.backup_lines.Migration)."""

    position: int
    ops: int
    versions: int
    stored: int
    blobs: int
    blobs_size: int
    largest: int
    uploads: int


class Source:
    """The store in its old place, which is open and held."""

    def __init__(self, places: Places, database: Database, saver: BaseSaver, store_id: str) -> None:
        self.places, self.database, self.saver, self.store_id = places, database, saver, store_id
        self._bound = saver.store_id()

    def facts(self, connection: Connection) -> Facts:
        """Return the numbers of what the transaction sees."""
        versions = select(func.count(), func.count(Version.digest)).select_from(Version).where(NOW.not_removed())
        each = _blobs().subquery()
        sizes = (func.coalesce(function(each.c.size), 0) for function in (func.sum, func.max))
        blobs = select(func.count(), *sizes).select_from(each)
        all_versions, stored = map(int, connection.execute(versions).one())
        count, size, largest = map(int, connection.execute(blobs).one())
        return Facts(
            position=journal.last(connection),
            ops=connection.execute(select(func.count()).select_from(Op).where(NOW.exists(Op))).scalar_one(),
            versions=all_versions,
            stored=stored,
            blobs=count,
            blobs_size=size,
            largest=largest,
            uploads=connection.execute(select(func.count()).select_from(Upload)).scalar_one(),
        )

    @contextmanager
    def blobs(self, connection: Connection) -> Iterator[Iterator[Wanted]]:
        """Read the blobs that versions need, in the order of their digests, in the context."""
        with connection.execute(_blobs(), execution_options={"yield_per": 1000}) as rows:
            yield (Wanted(Digest.parse(digest), int(size)) for digest, size in rows)

    def problem(self, digest: Digest, words: str) -> Problem:
        """Return the problem of a blob, with versions that have it."""
        named = (
            select(Op.name, Version.major_number, Version.minor_number, Version.patch_number)
            .join(Op, Op.id == Version.op_id)
            .where(Version.digest == digest, NOW.not_removed())
            .order_by(Op.name, Version.sequence)
        )
        with self.database.read() as connection:
            rows = connection.execute(named).all()
        names = tuple(f"{op}@{major}.{minor}.{patch}" for op, major, minor, patch in rows[:_NAMED])
        return Problem(digest=str(digest), problem=words, versions=names, versions_count=len(rows))

    def check_place(self) -> None:
        """Raise StorageFailed if the blobs are not those of the store any more, as on a disk that was unmounted."""
        if self.saver.store_id() != self._bound:
            raise errors.StorageFailed(reason=f"{self.saver.place()} is not what it was at the beginning")

    def check_position(self, position: int) -> None:
        """Raise SourceChanged if somebody wrote to the store since it was at the position."""
        with self.database.read() as connection:
            now = connection.execute(select(Counter.position)).scalar_one()
        if now != position:
            raise errors.SourceChanged(before=position, after=now)


def _blobs() -> Any:
    stored = select(Version.digest, func.max(Version.size).label("size")).where(Version.digest.is_not(None))
    return stored.where(NOW.not_removed()).group_by(Version.digest).order_by(Version.digest)


@contextmanager
def opened(places: Places, *, writes: bool) -> Iterator[Source]:
    """Open the store of the settings, and keep daemons from it in the context.

    `writes`: the database is also that of the target, so that it may be written to. Raises MigrationRefused,
    StoreNotFound, HomeLocked, StoreInUse, RestoreUnfinished, and the errors of a database and a saver that don't belong
    together.
    """
    with ExitStack() as stack:
        config = places.config
        restore_marker.check(config.home)
        if config.home.is_dir():
            stack.enter_context(locked(config))
        database = places.database
        if writes:
            stack.callback(database.close)
        else:
            stack.enter_context(database.only_read())
        if database.is_empty():
            _not_found(database)
        database.acquire()
        migrate = Migrate(database)
        if examine_database(database, migrate).kind == "new":
            _not_found(database)
        if migrate.current() != migrate.head():
            shown = f"{database.name} has the schema {migrate.current()}, and this opstore needs {migrate.head()}"
            refuse(shown, f"{places.command('db', 'upgrade')} upgrades it, after a backup")
        folder = places.folder
        if folder is not None and not folder.is_dir():  # it would be created
            raise errors.BlobsLost(database=database.name, saver=str(folder), reason=f"{folder} does not exist")
        saver = places.saver(database)
        saver.acquire()
        stack.callback(saver.release)
        check_together(database, migrate, saver)
        stack.enter_context(saver.collection_lock.shared())
        yield Source(places, database, saver, database.store_id())


def _not_found(database: Database) -> None:
    text = f"there is no store to move: {database.name} has none"
    error = errors.StoreNotFound(database=database.name).with_text(text)
    error.advice = _ELSEWHERE
    raise error
