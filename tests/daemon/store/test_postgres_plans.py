"""What PostgreSQL reads for a lookup in a store of many versions, once it knows them (ANALYZE)."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, insert

from benchmarks.filled import fill
from benchmarks.validity import analyze
from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import IdempotentResult
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import idempotency
from tests.support.figures import few

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
def explained(server: OpStoreServer, *, generic: bool = False) -> Iterator[list[str]]:
    """Collect the plan of each statement that the block executes; with `generic`, the one for any parameters."""
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
            if generic:
                numbers = {name: f"${place}" for place, name in enumerate(parameters, 1)}
                lines = connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {statement % numbers}").scalars()
            else:
                lines = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
            plans.append("\n".join([statement, *lines]))


def test_no_lookup_reads_the_versions_of_all_ops(server: OpStoreServer) -> None:
    with explained(server) as plans:
        server.store.show(OPS[1])
        server.store.validate(*OPS[1:])
        server.store.resolve("chain")
    assert plans
    tables = ("version", "journal", "link")
    assert [plan for plan in plans if any(f"Seq Scan on {table}" in plan for table in tables)] == []


@pytest.mark.parametrize("is_known", few(1, [False, True]), ids=["no statistics", "statistics of a few versions"])
def test_a_push_reads_one_version_each_time_also_if_it_was_planned_for_an_empty_store(
    postgres: "Postgres", is_known: bool
) -> None:
    """PostgreSQL keeps such a plan until it has new statistics, a minute later: it must not read all versions."""
    with postgres.database() as url, closing(OpStoreServer(MemorySaver(), url)) as server:
        for number in range(30):
            server.store.push("one", b"%d" % number, fields={"minor": {"n": f"{number}"}})
        if is_known:
            analyze(server)
        with explained(server, generic=True) as plans:
            server.store.push("one", b"other", fields={"minor": {"n": "other"}})
    found = next(plan for plan in plans if "yank.version_id" in plan)
    lookups = [line for line in found.splitlines() if "Scan" in line and " on version" in line]
    assert len(lookups) == 7, found
    assert all("Index" in line and ("uq_version" in line or "op_id_digest" in line) for line in lookups), found
    assert not any("Filter:" in line and "ROW" in line for line in found.splitlines()), found


def test_a_write_with_a_key_does_not_read_the_results_of_all_others(server: OpStoreServer) -> None:
    with server.db.write() as connection:
        rows = [{"owner": "o", "key": f"{number}", "request": "r", "body": "b", "at": number} for number in range(2000)]
        connection.execute(insert(IdempotentResult), rows)
    with explained(server) as plans, server.db.write() as connection:
        assert not idempotency.delete_expired(connection, now=idempotency.RETENTION)
        assert idempotency.delete_expired(connection, now=idempotency.RETENTION + 1000)
    assert [plan for plan in plans[:1] if "Seq Scan" in plan] == []
    assert len(plans) == 3, "one statement if nothing has expired"
