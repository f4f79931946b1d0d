"""The statements that a server's database executes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.statements import DriverStatement
from tests.support.sqlite_database import as_sqlite


@contextmanager
def executed_by_sqlalchemy(server: OpStoreServer) -> Iterator[list[str]]:
    """Collect the statements that SQLAlchemy executes in the context."""
    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    engines = [server.db.engine]
    if server.db.is_in_memory:
        engines.append(as_sqlite(server.db)._copies)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


@contextmanager
def counted(server: OpStoreServer, *, begins: bool = False) -> Iterator[list[str]]:
    """Collect all statements executed in the context; with `begins` also those that begin a transaction."""
    execute = DriverStatement.execute
    with executed_by_sqlalchemy(server) as statements:

        def note_begin(_connection: object) -> None:
            if begins:
                statements.append("BEGIN")

        def noted(text: DriverStatement, *given: Any) -> Any:
            statements.append(text.text)
            return execute(text, *given)

        event.listen(server.db.engine, "begin", note_begin)
        DriverStatement.execute = noted  # type: ignore[method-assign, assignment]
        try:
            yield statements
        finally:
            DriverStatement.execute = execute  # type: ignore[method-assign]
            event.remove(server.db.engine, "begin", note_begin)


def without_reserved_keys(statements: list[str]) -> list[str]:
    """Return the others: keys of objects are recorded several at once, for pushes of the next second."""
    return [each for each in statements if not each.startswith("INSERT INTO object ")]
