"""Rows of numbers that a statement receives as one parameter: a JSON list of lists.

So a statement has one form, whatever the number of rows, and no limit on the number of parameters counts.
"""

from typing import Any

from sqlalchemy import ColumnElement, Integer, TableValuedAlias, literal_column
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
