"""Rows of all tables, as values that are the same in every database: read, inserted, and compared by a digest.

Rows are read and written by way of SQLAlchemy's types, so that a boolean, bytes or a text is the same on both sides.
Memory holds one batch of rows.
"""

import hashlib
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, text

from opstore_daemon.metadata.tables import Base

BATCH = 1000  # rows
_STREAMED = {"yield_per": BATCH}
_ENCODER = msgspec.msgpack.Encoder()
_MODULUS = 1 << 256

Row = dict[str, Any]


class Fingerprint(NamedTuple):
    """The number of rows of a table, and the sum of their SHA-256 modulo 2^256: the same in whatever order."""

    rows: int
    digest: int


def tables() -> Sequence[Table]:
    """Return all tables of the schema: each one after those that its foreign keys refer to."""
    return Base.metadata.sorted_tables


def batches(connection: Connection, table: Table) -> Generator[list[Row], None, None]:
    """Yield all rows, in batches and in the order of the primary key. Close it unless all of them were taken."""
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execute(query, execution_options=_STREAMED) as result:
        for found in result.mappings().partitions(BATCH):
            yield [dict(row) for row in found]


def put(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows, with the ids that they have."""
    connection.execute(insert(table), rows)


def clear(connection: Connection, emptied: Sequence[Table]) -> None:
    """Delete all rows of the tables, which are in the order of `tables`."""
    for table in reversed(emptied):
        connection.execute(delete(table))


def fingerprint(connection: Connection, table: Table) -> Fingerprint:
    """Return the number of the rows and their digest. Columns are those of the schema, in its order."""
    rows = total = 0
    with connection.execute(select(table), execution_options=_STREAMED) as result:
        for found in result.partitions(BATCH):
            for row in found:
                total += int.from_bytes(hashlib.sha256(_ENCODER.encode(tuple(row))).digest())
            rows += len(found)
    return Fingerprint(rows, total % _MODULUS)


def continue_ids(connection: Connection) -> None:
    """Have the database assign ids after the highest one of each table: rows that were inserted with ids don't count.

    SQLite does so by itself.
    """
    if connection.dialect.name != "postgresql":
        return
    for table in tables():
        column = table.autoincrement_column
        if column is None:
            continue
        sequence = connection.execute(
            text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
        ).scalar()
        if sequence is not None:
            highest = connection.execute(select(func.max(column))).scalar()
            connection.execute(
                text("SELECT setval(CAST(:sequence AS regclass), :value, :is_used)"),
                {"sequence": sequence, "value": highest or 1, "is_used": highest is not None},
            )


def count(connection: Connection, table: Table) -> int:
    """Return the number of rows."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
