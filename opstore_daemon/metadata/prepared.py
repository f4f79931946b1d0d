"""Statements that are put together once and then run with other values.

To build a statement with SQLAlchemy takes ten times as long as SQLite takes to answer one that an index serves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec

from sqlalchemy import Connection, Executable, bindparam

P = ParamSpec("P")
SHAPES = 256  # that are kept of each statement


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and the values of its parameters."""

    statement: Executable
    values: Mapping[str, Any]

    def run(self, connection: Connection) -> Any:
        """The result of the statement: a CursorResult, of rows that no type knows."""
        return connection.execute(self.statement, dict(self.values))


def prepared(build: Callable[P, Executable]) -> Callable[P, Query]:
    """Makes a function that builds a statement one that builds it once for each shape.

    Positional arguments are the shape: they are hashable, and few. Arguments by keyword are values: the function sees
    a parameter of that name in place of each (in an UPDATE it is not the name of a column).
    """

    @lru_cache(SHAPES)
    def built(shape: tuple[Any, ...], names: tuple[str, ...]) -> Executable:
        return build(*shape, **{name: bindparam(name) for name in names})  # type: ignore[arg-type]

    @wraps(build)
    def query(*shape: P.args, **values: P.kwargs) -> Query:
        return Query(built(shape, tuple(values)), values)

    return query
