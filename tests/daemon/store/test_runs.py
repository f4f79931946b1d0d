"""Runs in the store: once for each key, one after the other, and with as many statements as their set needs."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.store import Store
from tests.daemon.store.test_statements import fill
from tests.support.new_run import COMMAND, SCRIPT, new_run
from tests.support.statements import counted

SET = ("pca@1.0.0", "forest@1.0.0")


@pytest.fixture
def store(memory: OpStoreServer) -> Store:
    """Return a store with a pipeline churn of pca and forest, each with one version."""
    memory.store.register("pca", subversions="aaaa.aaaa.aaaa")
    memory.store.register("forest", subversions="aaaa.aaaa.aaaa")
    memory.store.register_pipeline("churn", ["pca", "forest"])
    return memory.store


def test_a_repeated_request_records_one_run(store: Store) -> None:
    request = IdempotentRequest("me", "key", "request")
    first = store.idempotent(request).by("ana").record_run("churn", new_run(*SET))
    assert store.idempotent(request).by("ben").record_run("churn", new_run(*SET)) == first
    assert store.runs() == [first.run]
    assert first.run.author == "ana"


def test_two_runs_at_once_are_two_entries_and_record_each_link_once(store: Store) -> None:
    with ThreadPoolExecutor(2) as pool:
        recorded = list(pool.map(lambda _: store.record_run("churn", new_run(*SET)), range(2)))
    assert len({each.run.position for each in recorded}) == 2
    assert sorted(len(each.links) for each in recorded) == [0, 1]


def test_the_statements_of_a_run_depend_on_its_set_and_not_on_the_store(memory: OpStoreServer) -> None:
    counts = []
    for number, (ops, versions) in enumerate([(2, 1), (2, 60), (4, 1)]):
        names = [f"op{number}-{place}" for place in range(ops)]
        for name in names:
            fill(memory, name, versions, stored=True)
        memory.store.register_pipeline(f"p{number}", names)
        edges = tuple(pairwise(names))
        with counted(memory) as statements:
            memory.store.record_run(f"p{number}", new_run(*(f"{name}@1.0.0" for name in names), edges=edges))
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert counts[2] - counts[0] == 2 * (1 + 8), "a query for each op, eight statements for each edge"


def test_a_page_has_at_most_so_many_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_daemon.store.operations.runs.MAX_RUNS", 3)
    runs = [store.record_run("churn", new_run(*SET, result="failed")).run for _ in range(5)][::-1]
    page = store.runs_page("churn", None, 1000)
    assert (list(page.runs), page.next_cursor) == (runs[:3], str(runs[2].position))
    assert store.runs_page("churn", runs[2].position, 1000).runs == tuple(runs[3:])
    assert (store.runs("churn"), store.runs(limit=4)) == (runs, runs[:4])


@pytest.mark.local
@pytest.mark.parametrize("wanted", ["pipeline", "version", "set", "command"])
def test_runs_are_found_by_an_index_in_their_order(memory: OpStoreServer, store: Store, wanted: str) -> None:
    run = store.record_run("churn", new_run(*SET)).run
    filters = {
        "pipeline": {"pipeline": "churn"},
        "version": {"version": "pca@1.0.0"},
        "set": {"set": run.set},
        "command": {"command": COMMAND, "script": SCRIPT, "result": "passed"},
    }
    with counted(memory) as statements:
        assert store.runs(**filters[wanted]) == [run]  # type: ignore[arg-type]
    (query,) = [each for each in statements if "FROM run JOIN journal" in each]
    with memory.db.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", (None,) * query.count("?")).all()
    steps = [str(row[3]) for row in plan]
    assert any("USING INDEX ix_run_" in step or "USING COVERING INDEX ix_run_" in step for step in steps), steps
    assert not any("SCAN" in step or "B-TREE" in step for step in steps), steps


def test_the_output_is_compressed(memory: OpStoreServer, store: Store) -> None:
    store.record_run("churn", new_run(*SET, output="epoch 1\n" * 10_000))
    with memory.db.read() as connection:
        assert connection.exec_driver_sql("SELECT length(output) FROM run").scalar_one() < 1000
