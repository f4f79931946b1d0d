"""The schema of this release, its newest migration, and databases of older ones."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config

from opstore_daemon.metadata import Database, migrate

HEAD = "0011"


def create_older(path: Path, revision: str) -> None:
    """Create an empty database of that revision."""
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    with closing(Database(f"sqlite:///{path}")) as database, database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def turn_older(path: Path, revision: str) -> None:
    """Turn a closed database into one of that revision, with the rows that it can have."""
    older = path.with_name("older")
    create_older(older, revision)
    with closing(sqlite3.connect(older)) as connection:
        connection.execute("ATTACH ? AS newer", (str(path),))
        tables = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
        for (table,) in connection.execute(tables).fetchall():
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 - ours
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")  # noqa: S608
        connection.commit()
    path.unlink()
    older.rename(path)
