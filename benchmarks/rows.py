"""Write many rows to a table of SQLite or PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows with the fastest statement of the database."""
    names = ", ".join(f'"{each}"' for each in columns)
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.dbapi_connection
        with driver.cursor() as cursor, cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
        if "id" in columns:  # rows that the store adds later get the next one
            statement = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM \"{table}\""  # noqa: S608
            connection.exec_driver_sql(statement)
    elif rows:
        marks = ", ".join("?" * len(columns))
        statement = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, list(rows))
