"""The schema of this release, its newest migration, and databases of older ones."""

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect
from sqlalchemy.exc import SAWarning

from opstore_daemon.metadata import Database, migrate

HEAD = "0012"


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


def described(database: Database) -> dict[str, Any]:
    """Return all that SQLite knows of the tables, apart from the order in which they were created."""
    with database.read() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", SAWarning)
        look = inspect(connection)
        found: dict[str, Any] = {}
        for table in set(look.get_table_names()) - {"alembic_version"}:
            rows = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
            found[table] = {
                "columns": [(row[1], row[2], row[3], row[4], row[5]) for row in rows],
                "checks": {(check["name"], check["sqltext"]) for check in look.get_check_constraints(table)},
                "uniques": {(unique["name"], *unique["column_names"]) for unique in look.get_unique_constraints(table)},
                "keys": {
                    # SQLAlchemy does not read the name of a key that was added with its column.
                    (
                        key["name"] or f"fk_{table}_{key['constrained_columns'][0]}",
                        *key["constrained_columns"],
                        key["referred_table"],
                    )
                    for key in look.get_foreign_keys(table)
                },
            }
        # Expression and partial indexes are compared by their text: no reflection tells all of them.
        indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        found["indexes"] = {
            name: sql.lower().replace('"', "").replace(" ", "") for name, sql in connection.exec_driver_sql(indexes)
        }
        return found
