"""Removals in a store: what they cost, on a full disk, beside other changes, and what a push may rely on."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import update

from benchmarks.filled import fill
from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.samples import Sample
from opstore_daemon.rules import budget
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store.catalog import versions
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.operations import removal
from opstore_daemon.store.operations.ingest import LOCAL
from opstore_daemon.store.store import Store
from tests.daemon.store.test_scale import steps
from tests.support.faults import commit_fails
from tests.support.new_version import new_version
from tests.support.sqlite_database import as_sqlite
from tests.support.statements import counted, without_reserved_keys


def linked(store: Store) -> None:
    """Fill the store with the pipeline churn: two versions of pca, of which the newer one is in its resolution."""
    store.push("pca", b"one")
    store.push("pca", b"two")
    store.push("forest", b"trees", valid_with=["pca@1.0.0", "pca@1.0.1"])
    store.register_pipeline("churn", ["pca", "forest"])


# --- bytes ----------------------------------------------------------------------------------------------------------


def test_a_blob_that_only_removed_versions_have_is_not_pushed_by_its_digest(memory: OpStoreServer) -> None:
    store, digest = memory.store, digest_of(b"one")
    store.push("pca", b"one")
    store.push("encoder", b"one")
    store.remove("pca@1.0.0")
    assert store.add_version("forest", new_version(digest=digest, size=3), LOCAL).created
    store.remove(["encoder@1.0.0", "forest@1.0.0"])
    with pytest.raises(errors.BlobNotFound):
        store.add_version("svm", new_version(digest=digest, size=3), LOCAL)
    with memory.db.read() as connection:
        assert versions.size_of_blob(connection, digest) is None


def test_a_refused_push_leaves_a_blob_of_a_removed_version_to_the_collector(memory: OpStoreServer) -> None:
    store, saver = memory.store, memory.store.saver
    store.push("pca", b"one")
    store.remove("pca@1.0.0")
    for data in (b"one", b"two"):
        with pytest.raises(errors.OpNotFound):
            store.push("pca", data, valid_for=["gone@any"])
    assert (digest_of(b"one") in saver, digest_of(b"two") in saver) == (True, False)


def test_blobs_of_removed_versions_are_not_offered_by_their_sample(memory: OpStoreServer) -> None:
    store, sample = memory.store, Sample(f"xxh128:{7:032x}")
    store.push("pca", b"one")
    with memory.db.write() as connection:
        connection.execute(update(Version).values(sample=sample))
    assert len(store.blobs(sample).blobs) == 1
    store.remove("pca@1.0.0")
    assert store.blobs(sample).blobs == ()


def test_removed_versions_are_in_no_size(memory: OpStoreServer) -> None:
    store = memory.store
    store.push("pca", b"one")
    store.push("pca", b"three")
    store.register_pipeline("churn", ["typo"])
    store.remove_pipeline("churn")
    store.remove(["pca@1.0.1", "typo"])
    found = store.sizes()
    assert (found["ops"], found["versions"], found["blobs_size"]) == (1, 1, 3)


# --- the disk -------------------------------------------------------------------------------------------------------


@pytest.mark.local
def test_a_full_disk_gives_up_the_reserve_for_a_removal(files: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    linked(files.store)
    as_sqlite(files.db).reserve.keep()
    commit = files.db.engine.dialect.do_commit

    def commit_if_there_is_room(connection: Any) -> None:
        if not as_sqlite(files.db).reserve.is_missing():
            raise sqlite3.OperationalError("database or disk is full")
        commit(connection)

    with monkeypatch.context() as patch:
        patch.setattr(files.db.engine.dialect, "do_commit", commit_if_there_is_room)
        with pytest.raises(errors.StorageFull):
            files.store.tag("pca@1.0.0", "best")
        assert files.store.remove("pca@1.0.0", force=True).position is not None
    assert [each.version for each in files.store.versions("pca").versions] == ["1.0.1"]
    assert not as_sqlite(files.db).reserve.is_missing(), "it is refilled"


@pytest.mark.local  # a commit of SQLite fails
@pytest.mark.parametrize("happened", [False, True])
def test_a_retry_with_the_same_key_settles_a_removal_whose_commit_failed(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    linked(files.store)
    bound = files.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    with commit_fails(files.db, monkeypatch, happened=happened), pytest.raises(errors.OutcomeUnknown):
        bound.remove("pca@1.0.0", force=True)
    assert files.store.op("pca").versions == (1 if happened else 2)
    removed = bound.remove("pca@1.0.0", force=True)
    assert bound.remove("pca@1.0.0", force=True) == removed
    assert files.store.op("pca").versions == 1


# --- beside other changes -------------------------------------------------------------------------------------------


def changing(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], object]) -> list[int]:
    """Call `change` after each time that the pipelines of a removal were resolved; return the calls."""
    calls: list[int] = []
    resolve = Store._resolve

    def then_change(store: Store, *given: Any) -> Any:
        found = resolve(store, *given)
        calls.append(len(calls))
        change(len(calls))
        return found

    monkeypatch.setattr(Store, "_resolve", then_change)
    return calls


def test_a_pipeline_that_changes_meanwhile_is_resolved_again(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = memory.store
    store.push("pca", b"one")
    store.push("pca", b"two")

    def register_once(call: int) -> None:
        if call == 1:
            store.register_pipeline("only", ["pca"])

    calls = changing(monkeypatch, register_once)
    with pytest.raises(errors.StillNeeded, match="the pipeline only resolves to pca"):
        store.remove("pca@1.0.1")
    assert len(calls) == 2
    assert store.op("pca").versions == 2


def test_a_pipeline_that_changes_all_the_time_counts_as_needing_the_version(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = memory.store
    store.push("pca", b"one")
    store.push("pca", b"two")
    store.register_pipeline("only", ["pca"])
    calls = changing(monkeypatch, lambda call: store.push("pca", b"%d" % call))
    with pytest.raises(errors.StillNeeded, match=r"only resolves to pca@1\.0\.0 can't be told"):
        store.remove("pca@1.0.0")
    assert len(calls) == removal.TRIES
    assert store.remove("pca@1.0.0", force=True).broken_count == 1


def test_a_resolution_that_takes_too_much_work_counts_as_needing_the_version(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked(memory.store)
    memory.store.push("pca", b"three")
    monkeypatch.setattr(budget, "STEPS", 1)
    monkeypatch.setattr(budget, "EDGE_STEPS", 1)
    with pytest.raises(errors.StillNeeded) as refused:
        memory.store.remove("pca@1.0.2")
    (need,) = refused.value.details["needs"]
    assert need["words"] == "whether the pipeline churn resolves to pca@1.0.2 can't be told within 2 steps"
    assert memory.store.remove("pca@1.0.2", force=True).broken_count == 1


# --- what it costs --------------------------------------------------------------------------------------------------


def test_the_statements_of_a_removal_do_not_grow_with_its_versions(memory: OpStoreServer) -> None:
    store = memory.store

    def removing(count: int) -> int:
        store.push("forest", b"trees")
        for number in range(count):
            store.push("pca", b"%d" % number, valid_for=["forest@1.0.0"], tags=[f"t{number}"])
        with counted(memory) as statements:
            removed = store.remove("pca", all_versions=True, force=True)
        assert (len(removed.removed), removed.broken_count) == (count, 2 * count)
        return len([each for each in statements if "tag" not in each.lower()])

    few = removing(2)
    assert removing(40) == few


def test_the_latest_version_is_found_beyond_removed_ones_as_fast_as_without_them() -> None:
    with closing(OpStoreServer(MemorySaver())) as server:
        fill(server, ["a", "b"], 1000, 1)
        oldest = f"a@{server.store.versions('a').versions[-1].version}"
        questions: dict[str, Callable[[Store], object]] = {
            "latest": lambda store: store.show("a"),
            "line": lambda store: store.show("a@1"),
            "push": lambda store: store.push("a", b"pushed", new=True),
            "verdict": lambda store: store.validate("a", "b"),
        }
        before = {name: steps(server, ask) for name, ask in questions.items()}
        found = server.store.versions("a").versions
        with server.db.write() as connection:
            connection.exec_driver_sql(
                "UPDATE version SET removed_position = position WHERE op_id = 1 AND sequence % 3 = 0"
            )
        assert len(server.store.versions("a").versions) < len(found)
        assert server.store.show(oldest).sequence == 1
        for name, ask in questions.items():
            cost, statements = steps(server, ask)
            assert cost <= 1.5 * before[name][0] + 200, (name, cost, before[name])
            assert statements == before[name][1], name


def test_a_push_takes_no_more_statements_than_before_removals(memory: OpStoreServer) -> None:
    store = memory.store
    store.push("pca", b"one")
    with counted(memory) as without:
        store.push("pca", b"two")
    store.remove("pca@1.0.0")
    with counted(memory) as beside:
        store.push("pca", b"three")
    assert len(without_reserved_keys(beside)) == len(without_reserved_keys(without))


def test_too_many_references_are_refused(memory: OpStoreServer) -> None:
    with pytest.raises(errors.InvalidRequest, match="1 to 1000 references"):
        memory.store.remove([f"pca@1.0.{number}" for number in range(1001)])


def test_a_removal_that_is_repeated_while_it_looks_for_needs_has_the_same_result(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = memory.store
    store.push("pca", b"bytes")
    bound = store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    resolve, results = removal.RemovalOperations._resolve, []

    def overtaken(self: removal.RemovalOperations, wanted: Any, is_cancelled: Any) -> Any:
        monkeypatch.setattr(removal.RemovalOperations, "_resolve", resolve)
        results.append(bound.remove("pca@1.0.0"))
        return resolve(self, wanted, is_cancelled)

    monkeypatch.setattr(removal.RemovalOperations, "_resolve", overtaken)
    assert bound.remove("pca@1.0.0") == results[0]
    with pytest.raises(errors.VersionRemoved):
        store.remove("pca@1.0.0")
