"""Statements that are put together and compiled once, and then run with other values.

To build a statement with SQLAlchemy takes ten times as long as SQLite takes to answer one that an index serves, and to
execute a built one by it four times as long. So a statement whose values need no conversion goes to the driver as the
text that SQLAlchemy made of it; its rows and its errors are SQLAlchemy's all the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec

from sqlalchemy import Connection, Dialect, Executable, Result, bindparam
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

P = ParamSpec("P")
NONE: Mapping[str, Any] = {}
SHAPES = 256  # that are kept of each statement


class Text:
    """A statement as a driver takes it, and how its rows are called."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self.text = compiled.string
        self._names = compiled.positiontup
        self._values = {name: each.effective_value for each, name in compiled.bind_names.items() if not each.required}
        self._rows: SimpleResultMetaData | None = None

    def execute(self, dialect: Dialect, connection: Any, values: Mapping[str, Any]) -> Result[Any]:
        """The result, by a connection of the driver; raises what SQLAlchemy makes of its errors."""
        given = {**self._values, **values}
        cursor = connection.cursor()
        try:
            cursor.execute(self.text, given if self._names is None else [given[name] for name in self._names])
            if cursor.description is None:
                return IteratorResult(SimpleResultMetaData(()), iter(()))
            if self._rows is None:
                self._rows = SimpleResultMetaData([column[0] for column in cursor.description])
            return IteratorResult(self._rows, iter(cursor.fetchall()))
        except dialect.loaded_dbapi.Error as error:
            raise DBAPIError.instance(self.text, None, error, dialect.loaded_dbapi.Error, dialect=dialect) from error
        finally:
            cursor.close()


class Statement:
    """A statement to be run often. `run` gives it the values of its parameters."""

    def __init__(self, executable: Executable) -> None:
        self.executable = executable
        self._texts: dict[tuple[str, ...], Text | None] = {}

    def run(self, connection: Connection, values: Mapping[str, Any] = NONE) -> Result[Any]:
        """The result of the statement, in a transaction that has begun."""
        shape = (connection.dialect.name, *values)
        try:
            text = self._texts[shape]
        except KeyError:
            text = self._texts[shape] = _text(self.executable, connection.dialect, list(values))
        if text is None:
            return connection.execute(self.executable, dict(values))
        return text.execute(connection.dialect, connection.connection.dbapi_connection, values)


def _text(executable: Any, dialect: Dialect, names: list[str]) -> Text | None:
    """None where values would have to be converted on their way to the driver or back, or written into the text."""
    compiled = executable.compile(dialect=dialect, column_keys=names)
    if compiled.post_compile_params or compiled.literal_execute_params:
        return None
    given = [each.type.dialect_impl(dialect).bind_processor(dialect) for each in compiled.bind_names]
    told = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in executable.exported_columns]
    return None if any((*given, *told)) else Text(compiled)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and the values of its parameters."""

    statement: Statement
    values: Mapping[str, Any]

    def run(self, connection: Connection) -> Any:
        """The result of the statement, of rows that no type knows."""
        return self.statement.run(connection, self.values)


def prepared(build: Callable[P, Executable]) -> Callable[P, Query]:
    """Makes a function that builds a statement one that builds it once for each shape.

    Positional arguments are the shape: they are hashable, and few. Arguments by keyword are values: the function sees
    a parameter of that name in place of each (in an UPDATE it is not the name of a column).
    """

    @lru_cache(SHAPES)
    def built(shape: tuple[Any, ...], names: tuple[str, ...]) -> Statement:
        return Statement(build(*shape, **{name: bindparam(name) for name in names}))  # type: ignore[arg-type]

    @wraps(build)
    def query(*shape: P.args, **values: P.kwargs) -> Query:
        return Query(built(shape, tuple(values)), values)

    return query
