"""Collections beside pushes, pulls, each other, crashes and failures: no acknowledged version ever lacks its bytes."""

import errno
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import Collection
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.collection_lock import READERS
from opstore_daemon.savers.conformance.common import all_at_once
from opstore_daemon.store.maintenance.collectable import Collectable
from opstore_daemon.store.maintenance.collector import ANOTHER
from tests.daemon.store.test_faults import LOCAL, append, left_behind, uploaded, wanted
from tests.support.faults import Crash, Faults, fails
from tests.support.figures import few
from tests.support.garbage import orphan, remove, store_on_files, trashed
from tests.support.new_version import new_version
from tests.support.random_bytes import random_bytes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpStoreServer]:
    with store_on_files(tmp_path) as server:
        yield server


def collect(server: OpStoreServer) -> Collection:
    """Collect without any grace."""
    return server.store.collect_garbage(grace=0, purge=True)


def before(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, do: Callable[[], object], times: int = 1) -> None:
    """Do something before the method is called, the first `times` times."""
    really, left = getattr(owner, name), [None] * times

    def call(*args: Any, **kwargs: Any) -> Any:
        if left:
            left.pop()
            do()
        return really(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)


def after(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, do: Callable[[], object]) -> None:
    """Do something each time that the method has returned."""
    really = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        result = really(*args, **kwargs)
        do()
        return result

    monkeypatch.setattr(owner, name, call)


# --- pushes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["publish", "prepare_small"])
def test_a_blob_that_a_push_has_published_is_not_collected_before_its_transaction(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    collected: list[Collection] = []
    after(monkeypatch, server.store.uploads, way, lambda: collected.append(collect(server)))
    pushed = server.store.push("pca", b"bytes" if way == "prepare_small" else io.BytesIO(b"bytes"))
    assert [(each.garbage, each.waiting, each.drafts) for each in collected] == [(0, 1, 0)]
    assert (pushed.version, server.store.pull("pca")) == ("1.0.0", b"bytes")


def test_a_push_whose_blob_is_collected_while_it_begins_publishes_it_again(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector has looked for pushes, and there was none; then the push publishes, and the blob is moved."""
    digest = orphan(server, b"bytes")
    trash, pushed = server.store.saver.trash, []
    published = threading.Event()

    def push() -> None:
        pushed.append(server.store.push("pca", b"bytes"))

    pushing = threading.Thread(target=push)

    def moved(taken: Any) -> None:
        pushing.start()
        assert published.wait(60)
        trash(taken)

    monkeypatch.setattr(server.store.saver, "trash", moved)
    after(monkeypatch, server.store.uploads, "prepare_small", published.set)
    collected = server.store.collect_garbage(grace=0)
    pushing.join()
    assert (collected.garbage, trashed(server)) == (1, {digest})
    assert [each.version for each in pushed] == ["1.0.0"]
    assert server.store.pull("pca") == b"bytes"


def test_a_blob_that_gets_a_version_after_the_collector_has_looked_stays(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan(server, b"bytes")
    before(monkeypatch, Collectable, "alone", lambda: server.store.push("pca", b"bytes"))
    assert collect(server).garbage == 0
    assert server.store.pull("pca") == b"bytes"


@pytest.mark.local
def test_a_blob_that_is_published_again_after_the_collector_has_looked_stays_for_its_grace_time(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = orphan(server, b"bytes")
    saver = server.store.saver
    assert isinstance(saver, FileSaver)
    os.utime(saver.root / "blobs" / digest.hex[:2] / digest.hex, (1, 1))
    before(monkeypatch, Collectable, "alone", lambda: orphan(server, b"bytes"))
    assert server.store.collect_garbage().garbage == 0
    assert digest in saver


def test_a_version_by_digest_is_refused_once_the_last_version_with_the_blob_is_removed_and_collected(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.store.push("lda", b"bytes")
    by_digest = new_version(digest=digest_of(b"bytes"), size=5)
    before(monkeypatch, Collectable, "alone", lambda: server.store.add_version("pca", by_digest, LOCAL))
    orphan(server)
    assert collect(server).garbage == 1
    assert server.store.pull("pca") == b"bytes"
    for version in ("lda", "pca"):
        remove(server, version)
    assert collect(server).garbage == 1
    with pytest.raises(errors.BlobNotFound):
        server.store.add_version("forest", by_digest, LOCAL)
    server.store.push("forest", b"bytes")
    assert server.store.pull("forest") == b"bytes"


@pytest.mark.slow
def test_collections_without_grace_beside_deduplicating_pushes_lose_nothing(server: OpStoreServer) -> None:
    contents, pushes = [b"%d" % number for number in range(6)], 40
    done = threading.Event()
    garbage = []

    def push(op: str) -> None:
        for number in range(pushes):
            data = contents[number % len(contents)]
            server.store.push(op, data if number % 2 else io.BytesIO(data), new=True)
            remove(server, op)

    def push_all() -> None:
        try:
            assert all_at_once([lambda: push("pca"), lambda: push("lda")]) == []
        finally:
            done.set()

    def collect_all() -> None:
        while not done.is_set():
            garbage.append(server.store.collect_garbage(grace=0, purge=True).garbage)

    assert all_at_once([push_all, collect_all]) == []
    for data in contents:
        assert server.store.pull(server.store.push("forest", data, new=True).op) == data
    assert collect(server).problems == ()
    assert set(server.store.saver) == {digest_of(data) for data in contents}
    assert sum(garbage) > 0


def test_no_transaction_commits_while_blobs_are_moved(server: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version by digest is made before the collector looks, or after the blob is gone: it waits meanwhile."""
    server.store.push("lda", b"bytes")
    remove(server, "lda")
    made: list[object] = []

    def make() -> None:
        try:
            made.append(server.store.register("pca", subversions="aaaa.aaaa.aaaa").version)
        except errors.OpStoreError as error:
            made.append(error)

    registering = threading.Thread(target=make)
    trash = server.store.saver.trash

    def move(digest: Any) -> None:
        registering.start()
        registering.join(0.2)
        assert made == [], "it waits for the collector"
        trash(digest)

    monkeypatch.setattr(server.store.saver, "trash", move)
    assert server.store.collect_garbage(grace=0).garbage == 1
    registering.join()
    assert made == ["1.0.0"]


# --- uploads --------------------------------------------------------------------------------------------------------


def test_the_draft_of_an_upload_that_is_created_meanwhile_stays(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    after(monkeypatch, server.store.saver, "drafts", lambda: made.append(uploaded(server, b"bytes")))
    assert collect(server).drafts == 0
    monkeypatch.undo()
    created = server.store.uploads.create(LOCAL, 5).upload
    assert collect(server).drafts == 0
    assert {server.store.uploads.claim(upload, LOCAL).offset for upload in (*made, created)} == {5, 0}


def test_the_draft_of_a_small_push_that_is_running_stays(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = []
    before(monkeypatch, server.store.saver, "discard", lambda: collected.append(collect(server)))
    server.store.push("pca", b"bytes")
    assert [each.drafts for each in collected] == [0]
    assert left_behind(server) == ([], 0)


def test_an_upload_that_is_reopened_and_finished_during_a_collection_makes_its_version(
    server: OpStoreServer, tmp_path: Path
) -> None:
    upload = uploaded(server, b"bytes")
    server.close()
    with store_on_files(tmp_path) as again:
        steps = iter(again.store.start_collection(0, purge=True, dry_run=False))
        next(steps)
        assert again.store.uploads.claim(upload, LOCAL).offset == 5
        next(steps)
        append(again, upload, 5, b" and more")
        for _ in steps:
            pass
        assert again.store.add_version("pca", wanted(upload, b"bytes and more"), LOCAL).created
        assert again.store.pull("pca") == b"bytes and more"


# --- pulls ----------------------------------------------------------------------------------------------------------


def test_a_pull_that_has_begun_ends_with_all_bytes_although_they_are_collected(server: OpStoreServer) -> None:
    data = random_bytes(3 * 1024 * 1024)
    server.store.push("pca", data)
    with closing(server.store.read(server.store.show("pca"))) as reader:
        start = reader.read_piece()
        remove(server, "pca")
        assert collect(server).freed == len(data)
        assert start + b"".join(reader) == data


def test_a_pull_whose_version_is_removed_and_collected_before_it_begins_says_so(server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes")
    found = server.store.show("pca")
    remove(server, "pca")
    collect(server)
    for part in (None, (0, 2)):
        with pytest.raises(errors.VersionRemoved):
            server.store.read(found, part)


# --- each other, readers and the end --------------------------------------------------------------------------------


def test_one_collection_runs_at_a_time(server: OpStoreServer) -> None:
    orphan(server)
    with closing(server.store.start_collection(0, purge=False, dry_run=False)) as running:
        next(iter(running))
        with pytest.raises(errors.CollectionHeld, match=ANOTHER):
            collect(server)
        assert server.store.collect_garbage(grace=0, dry_run=True).garbage == 1
    assert collect(server).garbage == 1


def test_a_collection_that_ends_soon_is_waited_for(server: OpStoreServer) -> None:
    """A client that lost the connection repeats its request while its first collection still ends."""
    orphan(server)
    results: list[int] = []
    with closing(server.store.start_collection(0, purge=False, dry_run=False)) as running:
        next(iter(running))
        second = threading.Thread(target=lambda: results.append(collect(server).garbage))
        second.start()
        second.join(0.2)  # it waits, or has failed by then
    second.join()
    assert results == [1]


@pytest.mark.slow
@pytest.mark.parametrize("beside", ["cleaning up after a refused push", "another collection"])
def test_a_collection_does_not_take_another_thread_of_the_daemon_for_a_backup(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    orphan(server, b"garbage")
    results: list[object] = []

    def collecting() -> None:
        try:
            results.append(collect(server).problems)
        except errors.CollectionHeld as error:
            results.append(error.text)

    second = threading.Thread(target=collecting)

    def meanwhile() -> None:
        """Collect while this thread holds the collection lock."""
        second.start()
        second.join(0.2)  # it waits for the lock, or has failed by then

    with closing(server.store.start_collection(0, purge=True, dry_run=False)) as running:
        if beside == "another collection":
            before(monkeypatch, server.store.saver, "trash", meanwhile)
            for _ in running:
                pass
            second.join()  # this collection runs until it is closed
        else:
            running.close()
            with server.store.collector._collectable.alone():
                meanwhile()
    second.join()
    assert results == [f"nothing is collected now: {ANOTHER}" if beside == "another collection" else ()]


def test_nothing_is_collected_while_somebody_reads_all_blobs(server: OpStoreServer) -> None:
    digest = orphan(server)
    with server.store.saver.collection_lock.shared():
        with pytest.raises(errors.CollectionHeld, match=READERS):
            collect(server)
        with pytest.raises(errors.OpNotFound):
            server.store.push("pca", b"refused", valid_for=["forest"])
        assert digest_of(b"refused") in server.store.saver, "left to the collector"
    assert digest in server.store.saver
    assert collect(server).garbage == 2


def test_a_collection_leaves_the_rest_to_a_reader_that_begins_meanwhile(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opstore_daemon.store.maintenance.collection.BATCH", 1)
    for number in range(3):
        orphan(server, b"%d" % number)
    lock = server.store.saver.collection_lock
    with closing(server.store.start_collection(0, purge=False, dry_run=False)) as running:
        steps = iter(running)
        while not trashed(server):
            next(steps)
        with lock.shared():
            result = list(steps)[-1]
    assert result is not None
    assert (result.garbage, result.problems) == (1, (f"nothing is collected now: {READERS}",))
    assert collect(server).garbage == 2


def test_a_collection_ends_when_its_client_goes_or_the_daemon_stops(server: OpStoreServer) -> None:
    orphan(server)
    with closing(server.store.start_collection(0, purge=True, dry_run=False, is_cancelled=lambda: True)) as running:
        cancelled = list(running)[-1]
    assert cancelled is not None
    assert (cancelled.complete, cancelled.garbage) == (False, 0)
    server.store.collector.stop()
    stopped = collect(server)
    assert (stopped.complete, stopped.garbage) == (False, 0)


# --- crashes and failures -------------------------------------------------------------------------------------------


def garbage_of_all_kinds(folder: Path) -> None:
    """Leave versions, and garbage of each kind, in a new store."""
    with store_on_files(folder) as server:
        server.store.push("pca", b"bytes")
        server.store.push("lda", b"others")
        remove(server, "lda")
        for number in range(3):
            orphan(server, b"%d" % number)
        assert server.store.collect_garbage(grace=0).garbage == 4
        orphan(server)
        with closing(server.store.saver.draft("0" * 32)) as draft:
            draft.append(b"lost")


def check(folder: Path) -> None:
    """Check that the version has its bytes, and that a collection frees all the rest."""
    with store_on_files(folder) as server:
        assert server.store.pull("pca") == b"bytes"
        assert collect(server).problems == ()
        assert (list(server.store.saver), trashed(server)) == ([digest_of(b"bytes")], set())
        assert left_behind(server) == ([], 0)


@pytest.mark.parametrize("crash", [True, False])
@pytest.mark.parametrize("every", few(1, [5, 1]))
def test_a_crash_or_an_error_at_any_system_call_loses_nothing_and_leaves_nothing(
    tmp_path: Path, every: int, crash: bool
) -> None:
    garbage_of_all_kinds(tmp_path / "store")
    at, is_over = 0, False
    while not is_over:
        at += every
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "store", folder)
        with store_on_files(folder) as server, pytest.MonkeyPatch.context() as patch:
            server.store.saver.draft("0" * 32).close()
            faults = Faults(patch, at, crash=crash)
            with suppress(Crash, errors.StorageFailed):
                collect(server)
            is_over = not faults.struck
        check(folder)
    assert at > 10


def test_a_full_disk_purges_what_it_has_no_room_to_move(server: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = orphan(server)
    server.store.push("pca", b"bytes")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fails(errno.ENOSPC))
        kept = server.store.collect_garbage(grace=0)
        assert (kept.garbage, kept.freed, digest in server.store.saver) == (0, 0, True)
        assert kept.problems == ("there is no space left: No space left on device while moving a blob to the trash",)
        purged = collect(server)
    assert (purged.garbage, purged.purged, purged.freed, purged.problems) == (0, 1, 6, ())
    assert server.store.pull("pca") == b"bytes"


def test_a_disk_that_is_read_only_is_an_error_of_ours(server: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = orphan(server)
    for name in ("rename", "unlink"):
        monkeypatch.setattr(os, name, fails(errno.EROFS))
    collected = collect(server)
    assert collected.problems == (
        "the bytes could not be stored or read: Read-only file system while moving a blob to the trash",
    )
    assert (collected.freed, digest in server.store.saver) == (0, True)


def test_a_blob_that_cannot_be_moved_does_not_keep_the_others(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = orphan(server)
    for number in range(5):
        orphan(server, b"%d" % number)
    trash = server.store.saver.trash

    def move(digest: Any) -> None:
        if digest == stuck:
            raise errors.StorageFailed(reason="Input/output error")
        trash(digest)

    monkeypatch.setattr(server.store.saver, "trash", move)
    collected = collect(server)
    assert (collected.garbage, len(collected.problems)) == (5, 1)
    assert list(server.store.saver) == [stuck]
