"""Each constraint refuses the same rows on PostgreSQL as on SQLite."""

from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.postgres.failures import state_of
from tests.daemon.metadata.test_constraints import BAD, GOOD

CHECK, UNIQUE, FOREIGN_KEY = "23514", "23505", "23503"
OF_THE_TYPE = {"22001", "22003"}  # a text that is too long, and a number that is too large
NOT_A_BOOLEAN = "ck_yank_yanked"  # the type of the column refuses it


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    """Write the row, and undo that it failed."""
    row = {name: bool(value) if name == "yanked" else value for name, value in row.items()}
    places = ", ".join(f"%({column})s" for column in row)
    with connection.begin_nested():
        connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row)  # noqa: S608


def test_a_bad_row_is_refused_by_its_constraint(database: Database) -> None:
    with database.engine.connect() as connection:
        for statement in GOOD:
            connection.exec_driver_sql(statement.replace("(8, 1, 1, 'broken')", "(8, 1, true, 'broken')"))
        for constraint, table, row in BAD:
            if constraint == NOT_A_BOOLEAN:
                continue
            with pytest.raises(DBAPIError) as refused:
                insert(connection, table, row)
            state = state_of(refused.value.orig)
            if constraint == "FOREIGN KEY":
                assert state == FOREIGN_KEY, row
            elif constraint.startswith("ck_"):
                is_named = constraint in str(refused.value.orig)
                assert state in OF_THE_TYPE or (state, is_named) == (CHECK, True), row
            else:
                assert state == UNIQUE, row
