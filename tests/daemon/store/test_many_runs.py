"""What reading runs costs, however many there are."""

from collections.abc import Callable

import pytest
from sqlalchemy import update

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import Base, Counter
from opstore_daemon.store.store import Store
from tests.support.figures import few
from tests.support.new_run import new_run
from tests.support.statements import counted

SET = ("pca@1.0.0", "forest@1.0.0")
READS: dict[str, Callable[[Store], object]] = {
    "validate": lambda store: store.validate_pipeline("churn", exact_set=True),
    "show": lambda store: store.details("pca"),
    "runs of a pipeline": lambda store: store.runs("churn", limit=50),
    "runs with a version": lambda store: store.runs(version="pca@1.0.0", limit=50),
    "failed runs": lambda store: store.runs("churn", result="failed", limit=50),
    "log": lambda store: store.log("churn", limit=50),
}


def churn(store: Store) -> None:
    store.push("pca", b"one")
    store.push("forest", b"trees")
    store.register_pipeline("churn", ["pca", "forest"])
    store.record_run("churn", new_run(*SET, result="failed"))


def multiply(server: OpStoreServer, count: int) -> None:
    """Copy the newest run until there are `count` more of them."""
    with server.db.write() as connection:
        last = connection.exec_driver_sql("SELECT max(position) FROM run").scalar_one()
        for table, key in (("journal", "position"), ("run", "position"), ("run_version", "run_position")):
            others = ", ".join(each.name for each in Base.metadata.tables[table].columns if each.name != key)
            connection.exec_driver_sql(
                f"WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < {count})"  # noqa: S608 - ours
                f" INSERT INTO {table} ({key}, {others}) SELECT {last} + n, {others} FROM more, {table}"
                f" WHERE {key} = {last}"
            )
        connection.execute(update(Counter).values(position=last + count))


@pytest.mark.parametrize("read", few(2, READS))
def test_reading_runs_takes_no_more_statements_if_there_are_thousands(memory: OpStoreServer, read: str) -> None:
    churn(memory.store)
    counts = []
    for more in (60, 10_000):
        multiply(memory, more)
        READS[read](memory.store)  # builds the statements
        with counted(memory) as statements:
            READS[read](memory.store)
        counts.append(len(statements))
    assert counts[0] == counts[1] < 40
