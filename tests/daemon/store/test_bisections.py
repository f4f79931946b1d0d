"""Bisections in the store: once for each key, on the pipeline that was searched, and found by an index."""

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import NewBisection
from opstore_daemon.rules.budget import Budget
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.reports import set_history
from opstore_daemon.store.store import Store
from tests.support.statements import counted

NEW = NewBisection(command=("pytest",), good=2, bad=3, last_good=2, first_bad=3)


@pytest.fixture
def store(memory: OpStoreServer) -> Store:
    """Return a store with a pipeline churn of pca and forest, which pca@1.0.1 (position 3) broke."""
    memory.store.push("pca", b"one")
    memory.store.push("forest", b"one")
    memory.store.push("pca", b"two")
    memory.store.register_pipeline("churn", ["pca", "forest"])
    return memory.store


def test_a_repeated_request_records_one_bisection(store: Store) -> None:
    request = IdempotentRequest("me", "key", "request")
    first = store.idempotent(request).by("ana").record_bisection("churn", NEW)
    store.remove_pipeline("churn")
    assert store.idempotent(request).record_bisection("churn", NEW) == first
    assert (store.bisections(), first.author) == ([first], "ana")


def test_a_pipeline_that_is_registered_again_meanwhile_is_a_conflict(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = set_history.read

    def overtaken(snapshot: object, names: object, until: int, budget: Budget) -> set_history.History:
        found = read(snapshot, names, until, budget)  # type: ignore[arg-type]
        monkeypatch.setattr(set_history, "read", read)
        store.remove_pipeline("churn")
        store.register_pipeline("churn", ["forest", "pca"])
        return found

    monkeypatch.setattr(set_history, "read", overtaken)
    with pytest.raises(errors.PipelineChanged, match="it was registered again"):
        store.record_bisection("churn", NEW)
    assert store.bisections() == []


def test_a_page_has_at_most_so_many_bisections(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_daemon.store.operations.bisections.MAX_BISECTIONS", 2)
    recorded = [store.record_bisection("churn", NEW) for _ in range(5)][::-1]
    assert list(store.bisections_page("churn", None, 1000).bisections) == recorded[:2]
    assert store.bisections("churn") == recorded
    assert store.bisections(limit=3) == recorded[:3]


@pytest.mark.local
def test_bisections_of_a_pipeline_are_found_by_an_index(memory: OpStoreServer, store: Store) -> None:
    recorded = store.record_bisection("churn", NEW)
    with counted(memory) as statements:
        assert store.bisections("churn") == [recorded]
    (query,) = [each for each in statements if "FROM bisection JOIN journal" in each]
    with memory.db.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", (None,) * query.count("?")).all()
    steps = [str(row[3]) for row in plan]
    assert any("USING INDEX ix_bisection_pipeline_position" in step for step in steps), steps
    assert not any("SCAN" in step or "B-TREE" in step for step in steps), steps
