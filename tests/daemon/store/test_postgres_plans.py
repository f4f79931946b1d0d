"""What PostgreSQL reads for a lookup in a store of many versions, once it knows them (ANALYZE)."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from benchmarks.filled import fill
from benchmarks.validity import analyze
from opstore_daemon import OpStoreServer
from opstore_daemon.savers import MemorySaver

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

OPS = ["early", "middle", "late"]
VERSIONS = 600  # of each op, one op after the other: PostgreSQL would expect them to be mixed


@pytest.fixture(scope="module")
def server(postgres: "Postgres") -> Iterator[OpStoreServer]:
    with postgres.database() as url, closing(OpStoreServer(MemorySaver(), url)) as opened:
        fill(opened, OPS, VERSIONS, 1)
        analyze(opened)
        yield opened


@contextmanager
def explained(server: OpStoreServer) -> Iterator[list[str]]:
    """Collect the plan of each statement that the block executes."""
    executed: list[tuple[str, Any]] = []
    plans: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        executed.append((statement, parameters))

    event.listen(server.db.engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        event.remove(server.db.engine, "before_cursor_execute", note)
    with server.db.read() as connection:
        for statement, parameters in executed:
            lines = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
            plans.append("\n".join([statement, *lines]))


def test_no_lookup_reads_the_versions_of_all_ops(server: OpStoreServer) -> None:
    with explained(server) as plans:
        server.store.show(OPS[1])
        server.store.validate(*OPS[1:])
        server.store.resolve("chain")
    assert plans
    assert [plan for plan in plans if "Seq Scan on version" in plan or "Seq Scan on journal" in plan] == []
