"""Statements that are built and compiled once, and then run with other values.

Building a statement with SQLAlchemy takes ten times as long as SQLite takes to answer one that an index serves, and
executing a built one takes four times as long. So on SQLite a statement whose values need no conversion goes to the
driver as the text that SQLAlchemy compiled; its rows and errors are still SQLAlchemy's. Other statements, and
all statements on other databases, are executed by SQLAlchemy: callers see no difference.
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
SHAPES = 256  # that are cached for each function


class DriverStatement:
    """A statement in the form that the driver takes, with the names of its columns."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self.text = compiled.string
        self._names = compiled.positiontup
        self._values = {name: each.effective_value for each, name in compiled.bind_names.items() if not each.required}
        self._rows: SimpleResultMetaData | None = None

    def execute(self, dialect: Dialect, connection: Any, values: Mapping[str, Any]) -> Result[Any]:
        """Execute the statement on a connection of the driver; raise its errors as SQLAlchemy's."""
        parameters = {**self._values, **values}
        cursor = connection.cursor()
        try:
            cursor.execute(self.text, parameters if self._names is None else [parameters[name] for name in self._names])
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
    """A statement that is run often, each time with other values of its parameters."""

    def __init__(self, executable: Executable) -> None:
        self.executable = executable
        self._compiled: dict[tuple[str, ...], DriverStatement | None] = {}

    def run(self, connection: Connection, values: Mapping[str, Any] = NONE) -> Result[Any]:
        """Execute the statement in a transaction that has begun; return its result."""
        shape = (connection.dialect.name, *values)
        try:
            statement = self._compiled[shape]
        except KeyError:
            statement = self._compiled[shape] = _compile(self.executable, connection.dialect, list(values))
        if statement is None:
            return connection.execute(self.executable, dict(values))
        return statement.execute(connection.dialect, connection.connection.dbapi_connection, values)


def _compile(executable: Any, dialect: Dialect, names: list[str]) -> DriverStatement | None:
    """Return the statement for the driver; None if SQLAlchemy has to convert values, or write them into the text."""
    if dialect.name != "sqlite":
        return None
    compiled = executable.compile(dialect=dialect, column_keys=names)
    if compiled.post_compile_params or compiled.literal_execute_params:
        return None
    of_values = [each.type.dialect_impl(dialect).bind_processor(dialect) for each in compiled.bind_names]
    columns = executable.exported_columns
    of_rows = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
    return None if any((*of_values, *of_rows)) else DriverStatement(compiled)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and the values of its parameters."""

    statement: Statement
    values: Mapping[str, Any]

    def run(self, connection: Connection) -> Any:
        """Execute the statement; return its result. The type of its rows is unknown."""
        return self.statement.run(connection, self.values)


def prepared(build: Callable[P, Executable]) -> Callable[P, Query]:
    """Decorate a function that builds a statement, so that it builds it once for each shape.

    Positional arguments are the shape: hashable, and with few values. Keyword arguments are the values of parameters:
    the function receives a bind parameter of that name for each (in an UPDATE not the name of a column).
    """

    @lru_cache(SHAPES)
    def build_statement(shape: tuple[Any, ...], names: tuple[str, ...]) -> Statement:
        return Statement(build(*shape, **{name: bindparam(name) for name in names}))  # type: ignore[arg-type]

    @wraps(build)
    def query(*shape: P.args, **values: P.kwargs) -> Query:
        return Query(build_statement(shape, tuple(values)), values)

    return query
