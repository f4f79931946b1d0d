"""The marker in a database that a migration fills: no daemon starts with it, and every message says how to finish it.

It is a table of its own, which is there from before the first row to after the last one, and in no schema.
"""

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, delete, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from opstore_daemon.protocol import errors

MARKER = Table(
    "unfinished_migration",
    MetaData(),
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("store_id", String(32), nullable=False),
    Column("database", Text, nullable=False),
    Column("saver", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("is_whole", Integer, nullable=False),
    Column("run", String(32), nullable=False),
)
_UNREADABLE = "run the same opstore migrate again"


@dataclass(frozen=True, slots=True)
class Marker:
    """An unfinished migration of a store to the database and the saver of these names, which `command` finishes.

    `is_whole`: the database itself is being filled. Otherwise it is that of the store, and only the blobs move.
    `run` is the id of the process that fills it, until another one takes over.
    """

    store_id: str
    database: str
    saver: str
    command: str
    is_whole: bool
    run: str


def read(connection: Connection) -> Marker | None:
    """Return the marker in the database; None if there is none. One that can't be read counts, without its details."""
    if not inspect(connection).has_table(MARKER.name):
        return None
    try:
        row = connection.execute(select(MARKER)).one_or_none()
    except DBAPIError:  # of a later release
        row = None
    if row is None:
        return Marker("", "the database", "", _UNREADABLE, is_whole=True, run="")
    return Marker(row.store_id, row.database, row.saver, row.command, bool(row.is_whole), row.run)


def write(connection: Connection, marker: Marker) -> None:
    """Put the marker into the database, in place of an earlier one, whose process can write no more."""
    MARKER.create(connection, checkfirst=True)
    connection.execute(delete(MARKER))
    values = {name: getattr(marker, name) for name in ("store_id", "database", "saver", "command", "run")}
    connection.execute(insert(MARKER).values(one=1, is_whole=int(marker.is_whole), **values))


def require(connection: Connection, marker: Marker) -> None:
    """Raise StoreInUse unless the marker is still that of this process, in a transaction that writes to the target.

    A migration that another process has finished meanwhile must not touch what daemons have written since.
    """
    found = read(connection)
    if found is None or found.run != marker.run:
        who = "another opstore migrate, which has finished it" if found is None else "another opstore migrate"
        raise errors.StoreInUse(what=f"the migration to {marker.database}", holder=who)


def drop(connection: Connection, marker: Marker) -> None:
    """Take the marker out of the database: the migration is finished. Raises what `require` raises."""
    require(connection, marker)
    MARKER.drop(connection)


def check(connection: Connection) -> None:
    """Raise MigrationUnfinished if a migration fills the database."""
    found = read(connection)
    if found is not None and found.is_whole:
        raise errors.MigrationUnfinished(target=found.database, command=found.command)
