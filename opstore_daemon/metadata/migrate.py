"""The schema: find out the revision of a database, and upgrade it to the current one.

A new database gets the current tables. An older one is upgraded by Alembic, which is imported only then: that takes a
tenth of a second, which every start of the daemon would take longer.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
    update,
)

from opstore_daemon.metadata.base import BaseDatabase
from opstore_daemon.metadata.identity import new_row, newer_release
from opstore_daemon.metadata.tables import Counter, StoreIdentity
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__

FOLDER = Path(__file__).parent / "migrations"
_SHOWN = re.compile(r"\w{1,32}", re.ASCII)  # a revision of ours, or of a later release
# The table in which Alembic keeps the revision, as Alembic creates it.
REVISION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class Migrate:
    """The migrations of one database."""

    def __init__(self, database: BaseDatabase) -> None:
        self._database = database

    def head(self) -> str:
        """Return the revision that this release needs."""
        return known_revisions()[-1]

    def current(self) -> str | None:
        """Return the database's revision; None if it has no schema yet."""
        with self._database.read() as connection:
            return _revision_of(connection)

    def tables(self) -> set[str]:
        """Return the names of the tables that the database has."""
        with self._database.read() as connection:
            return set(inspect(connection).get_table_names())

    def check(self) -> str | None:
        """Return the database's revision, as `current` does; raise SchemaTooNew if this release can't use it.

        A revision that this release does not know is one of a later release. A daemon that is one of several may use
        the database all the same, unless the later one says that it may not (`oldest_schema`): so daemons of two
        releases run on one database while they are replaced one after the other.
        """
        current = self.current()
        if self._is_unknown(current) and not self._may_use():
            raise schema_too_new(current, self.release_needed(current))
        return current

    def _may_use(self) -> bool:
        """Return whether the later release of the schema lets daemons of this one go on."""
        if not self._database.is_shared:
            return False
        try:
            with self._database.read() as connection:
                oldest_schema = connection.execute(select(Counter.oldest_schema)).scalar_one_or_none()
        except errors.DatabaseFailed:  # a later release may have another table there
            return False
        return isinstance(oldest_schema, str) and oldest_schema <= self.head()

    def release_needed(self, revision: str | None) -> str | None:
        """Return the later release that reads a database of this revision; None if this one does, or none is known."""
        if not self._is_unknown(revision):
            return None
        with self._database.read() as connection:
            return newer_release(connection)

    def _is_unknown(self, revision: str | None) -> bool:
        return revision not in (None, *known_revisions())

    def upgrade(self, store_id: str | None = None, also: Callable[[Connection], None] = lambda _: None) -> Path | None:
        """Create the schema, or upgrade an older one after a backup; return the path of the backup, if there is one.

        A database that gets its store id now gets `store_id`, or a new one; `also` is done in the transaction that
        creates the schema. What was created or upgraded is in the
        database file itself when it returns, so that a database that loses its WAL is not taken for a new one.
        Raises SchemaTooNew, and StorageFull with the number of bytes that are needed: then the database is unchanged.
        """
        self._database.create()
        current = self.check()
        if current == self.head() or self._is_unknown(current):
            self._database.checkpoint()
            return None
        backup = self._database.back_up(f".before-{self.head()}-at-{current}") if current else None
        try:
            with self._database.write_schema() as connection:
                # Read again: another process may have created or upgraded it meanwhile.
                revision = _revision_of(connection)
                if revision is None:
                    _create(connection, self._database.tables(), self.head(), store_id)
                    also(connection)
                elif revision != self.head() and not self._is_unknown(revision):
                    _migrate(connection, store_id)
        except errors.StorageFull:
            if backup is not None:
                backup.unlink(missing_ok=True)  # the database is unchanged, and the disk needs the space
            raise
        self._database.schema_changed()
        return backup


def schema_too_new(revision: str | None, release: str | None) -> errors.SchemaTooNew:
    """Return the error for a database of this revision, which the later `release` made (None: not known)."""
    advice = f"install opstore {release} or later" if release else "update opstore"
    return errors.SchemaTooNew(found=revision, known=known_revisions()[-1], release=release, advice=advice)


def known_revisions() -> list[str]:
    """Return the revisions that this release knows, the newest last: the names of their files begin with them."""
    return list(_revisions_in(FOLDER))


@functools.cache
def _revisions_in(folder: Path) -> tuple[str, ...]:
    """Return the revisions of the files in the folder, which a start asks for five times."""
    found = sorted(path.stem.partition("_")[0] for path in (folder / "versions").glob("[0-9]*.py"))
    if not found:
        raise errors.DatabaseFailed(reason=f"there are no migrations in {folder}")
    return tuple(found)


def _revision_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table(REVISION.name):
        return None
    found = connection.execute(select(REVISION.c.version_num)).scalar_one_or_none()
    # SQLite takes a value of any type and length there.
    return found if found is None or (isinstance(found, str) and _SHOWN.fullmatch(found)) else "unknown"


def _create(connection: Connection, tables: MetaData, revision: str, store_id: str | None) -> None:
    """Create the schema that all migrations together make."""
    tables.create_all(connection, checkfirst=False)
    connection.execute(insert(Counter).values(id=1, position=0))
    connection.execute(insert(StoreIdentity).values(new_row(store_id)))
    REVISION.create(connection)
    connection.execute(insert(REVISION).values(version_num=revision))


def _migrate(connection: Connection, store_id: str | None = None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    config.attributes["store_id"] = store_id
    command.upgrade(config, "head")
    # For an older release that refuses this database: it names the one to use.
    connection.execute(update(StoreIdentity).values(release=__version__))
