"""Lookups in an index that PostgreSQL does not plan in another way.

Before it has statistics about a table, and if it planned a statement while the table was nearly empty, all indexes that
begin with the same column look alike to it. Of `op_id = 1 AND digest = 'd'` it may then look up the op, and read all of
its versions to find the digest. So a lookup of each push asks for the row next to the values in the order of an index,
which no other way finds without sorting, and compares it with them.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, select, tuple_

ANY: ColumnElement[int] = literal_column("2147483647")
"""As the last value: the highest of an integer column."""

ONE: ColumnElement[int] = literal_column("1")
"""As a limit: for a parameter, PostgreSQL plans for any number of rows."""


def last(index: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> Select[Any]:
    """Return a query for the last row up to the values, in the order of the columns of an index.

    It selects nothing yet: add columns. The row may have lower values than the given ones: compare them.
    """
    columns = list(index)[: len(values)]
    found = select().where(tuple_(*columns) <= tuple_(*values))
    return found.order_by(*(column.desc() for column in columns)).limit(ONE)
