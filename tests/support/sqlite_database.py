"""What only an SQLite database has: its reserve, its lock and its pools."""

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.sqlite.database import SqliteDatabase


def as_sqlite(database: Database) -> SqliteDatabase:
    """Return the database as the SQLite database that it is."""
    assert isinstance(database, SqliteDatabase)
    return database
