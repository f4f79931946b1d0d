"""Numbers, or rows of numbers, that a statement receives as one parameter: a JSON list, or a list of lists.

So a statement has one form, whatever their number: it is built, sent and planned once. No limit on the number of
parameters counts. PostgreSQL compares a row with 200 parameters one after another unless it plans for their values.
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, TableValuedAlias, literal_column
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
    """Return the condition that the number is one of those in the parameter: a JSON list of integers."""
    return _IsAmong(column, parameter)


def is_selected(column: Any, query: Any) -> ColumnElement[bool]:
    """Return the condition that the number is one of the few that a scalar subquery selects.

    They are selected first, and looked up then. PostgreSQL would join, and read all rows of a table that is not large.
    """
    return _IsSelected(column, query)


class _IsSelected(FunctionElement[bool]):
    name = "json_is_selected"
    type = Boolean()
    inherit_cache = True


@compiles(_IsSelected)
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, query = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN {query}"


@compiles(_IsSelected, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, query = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (ARRAY{query})"


class _IsAmong(FunctionElement[bool]):
    name = "json_is_among"
    type = Boolean()
    inherit_cache = True


@compiles(_IsAmong)
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({numbers}))"  # noqa: S608 - of compiled parts


@compiles(_IsAmong, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    column, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (CAST(translate(CAST({numbers} AS TEXT), '[]', '{{}}') AS INTEGER[]))"


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
