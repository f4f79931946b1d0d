"""Numbers, or rows of numbers, that a statement receives as one parameter: a JSON list, or a list of lists.

So a statement has one form, whatever their number: it is built, sent and planned once. No limit on the number of
parameters counts. PostgreSQL compares a row with 200 parameters one after another unless it plans for their values.
"""

from typing import Any, Self

from sqlalchemy import ARRAY, Boolean, ColumnElement, Integer, TableValuedAlias, any_, literal_column, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def json_rows(parameter: Any) -> TableValuedAlias:
    """Return the rows in the parameter, as a table for one query."""
    return _Rows(parameter).table_valued("value")


def number_at(rows: TableValuedAlias, place: int) -> ColumnElement[int]:
    """Return the number at a place of each row, from 0.

    On SQLite it has no type affinity: so an index on an expression serves a comparison with it.
    """
    return _NumberAt(rows.c.value, literal_column(str(place)))


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
    name = "json_is_selected"
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
    name = "json_is_among"
    inherit_cache = True


@compiles(_IsAmong)
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, numbers = element.clauses
    return str(compiler.process(column.in_(numbers), **options))


@compiles(_IsAmong, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, numbers = element.clauses
    return str(compiler.process(column == any_(type_coerce(numbers, ARRAY(Integer))), **options))


class _Rows(FunctionElement[Any]):
    name = "json_rows"
    inherit_cache = True


class _NumberAt(FunctionElement[int]):
    name = "json_number_at"
    type = Integer()
    inherit_cache = True


@compiles(_Rows)
def _(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Rows, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **options)} AS JSONB))"


@compiles(_NumberAt)
def _(element: Any, compiler: Any, **options: Any) -> str:
    value, place = (compiler.process(each, **options) for each in element.clauses)
    return f"json_extract({value}, '$[{place}]')"


@compiles(_NumberAt, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    value, place = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST({value} ->> {place} AS INTEGER)"
