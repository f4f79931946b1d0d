"""Lookups in an index that neither database plans in another way.

Before PostgreSQL has statistics about a table, and if it planned a statement while the table was nearly empty, it
estimates the same cost for all indexes that begin with the same column. For `op_id = 1 AND digest = 'd'` it may then
look up the op, and read all of its versions to find the digest. So a lookup of each push asks for the row next to the
values in the order of an index, which no other way finds without sorting, and compares it with them.
"""

from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    any_,
    literal_column,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

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


def is_among(column: Any, parameter: Any) -> ColumnElement[bool]:
    """Return the condition that the number is one of those in the parameter: a list of integers.

    PostgreSQL gets one array. SQLite gets a parameter for each, with which it finds the right index.
    """
    return _IsAmong(column, parameter)


def is_selected(column: Any, query: Any) -> ColumnElement[bool]:
    """Return the condition that the number is one of the few that a scalar subquery selects.

    They are selected first, and looked up then. PostgreSQL would join, and read all rows of a table that is not large.
    """
    return _IsSelected(column, query)


class _Condition(FunctionElement[bool]):
    type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        """Return the condition as it is: with `= 1`, which SQLAlchemy adds on SQLite, no index would serve it."""
        del against
        return self


class _IsSelected(_Condition):
    name = "is_selected"
    inherit_cache = True


@compiles(_IsSelected)
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, query = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN {query}"


@compiles(_IsSelected, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, query = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (ARRAY{query})"


class _IsAmong(_Condition):
    name = "is_among"
    inherit_cache = True


@compiles(_IsAmong)
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, numbers = element.clauses
    return str(compiler.process(column.in_(numbers), **options))


@compiles(_IsAmong, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, numbers = element.clauses
    return str(compiler.process(column == any_(type_coerce(numbers, ARRAY(Integer))), **options))
