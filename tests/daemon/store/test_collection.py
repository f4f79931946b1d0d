"""A collection takes what nobody needs, when it is due, and nothing else."""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import FileSaver, MemorySaver
from opstore_daemon.savers.conformance.common import put
from opstore_daemon.store.idempotency import DELETED_AT_ONCE, IdempotentRequest
from opstore_daemon.store.ingest import expiry
from opstore_daemon.store.maintenance import collection
from tests.daemon.store.test_faults import LOCAL, left_behind, uploaded
from tests.support.garbage import WEEK, MovedClock, orphan, remove, store_on_files, trashed

YEARS = timedelta(days=3660)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def server(tmp_path: Path, clock: MovedClock) -> Iterator[OpStoreServer]:
    with store_on_files(tmp_path, clock) as server:
        yield server


# --- blobs and the trash --------------------------------------------------------------------------------------------


def test_the_blob_of_a_removed_version_is_collected_and_purged_a_week_later(
    server: OpStoreServer, clock: MovedClock
) -> None:
    for data in (b"first", b"second", b"third"):
        server.store.push("pca", data)
    remove(server, "pca@1.0.1")
    collected = server.store.collect_garbage(grace=0)
    assert (collected.garbage, collected.garbage_size, collected.trash, collected.freed) == (1, 6, 1, 0)
    assert trashed(server) == {digest_of(b"second")}
    clock.by = WEEK - timedelta(minutes=1)
    assert server.store.collect_garbage(grace=0).purged == 0
    clock.by = WEEK + timedelta(minutes=1)
    purged = server.store.collect_garbage(grace=0)
    assert (purged.purged, purged.freed, purged.trash, trashed(server)) == (1, 6, 0, set())
    assert [server.store.pull(f"pca@1.0.{patch}") for patch in (0, 2)] == [b"first", b"third"]


def test_bytes_that_another_version_has_stay(server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes")
    server.store.push("lda", b"bytes")
    remove(server, "pca")
    assert server.store.collect_garbage(grace=0).garbage == 0
    assert server.store.pull("lda") == b"bytes"
    server.store.yank("lda", "wrong")
    assert server.store.collect_garbage(grace=0, purge=True).freed == 0
    assert server.store.pull("lda@1.0.0") == b"bytes"


@pytest.mark.parametrize("by", [-YEARS, -timedelta(hours=25), timedelta(hours=25), YEARS])
def test_a_blob_is_collected_once_its_publication_is_a_day_away_in_either_direction(
    server: OpStoreServer, clock: MovedClock, by: timedelta
) -> None:
    digest = orphan(server)
    for near in (timedelta(), timedelta(hours=23), -timedelta(hours=23)):
        clock.by = near
        waiting = server.store.collect_garbage()
        assert (waiting.garbage, waiting.waiting, waiting.waiting_size) == (0, 1, 6)
        assert waiting.collected_at is not None
        assert digest in server.store.saver
    clock.by = by
    assert server.store.collect_garbage().garbage == 1
    assert digest not in server.store.saver


@pytest.mark.parametrize("by", [-YEARS, YEARS])
def test_nothing_that_a_version_has_is_collected_however_the_clock_jumps(
    server: OpStoreServer, clock: MovedClock, by: timedelta
) -> None:
    server.store.push("pca", b"bytes")
    clock.by = by
    server.store.push("pca", b"others")
    for _ in range(2):
        assert server.store.collect_garbage(grace=0, purge=True).freed == 0
        clock.by = timedelta()
    assert (server.store.pull("pca@1.0.0"), server.store.pull("pca@1.0.1")) == (b"bytes", b"others")


def test_a_purge_empties_the_trash_now(server: OpStoreServer) -> None:
    orphan(server)
    server.store.collect_garbage(grace=0)
    orphan(server, b"another")
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert (collected.garbage, collected.purged, collected.freed, collected.trash) == (1, 2, 13, 0)
    assert (trashed(server), list(server.store.saver)) == (set(), [])


@pytest.mark.local
@pytest.mark.parametrize("purge", [False, True])
def test_a_dry_run_changes_nothing_and_says_what_the_collection_then_does(
    server: OpStoreServer, tmp_path: Path, purge: bool
) -> None:
    def content() -> set[Path]:
        return {path for path in (tmp_path / "blobs").rglob("*") if path.is_file()}

    uploaded(server, b"unfinished")
    old = orphan(server)
    server.store.collect_garbage(grace=0)
    expired = uploaded(server, b"expired")
    with server.db.write() as connection:
        connection.exec_driver_sql("UPDATE upload SET touched_at = 1 WHERE id = ?", (expired,))
    os.utime(tmp_path / "blobs" / "trash" / old.hex, (1, 1))
    with closing(server.store.saver.draft("0" * 32)) as draft:
        draft.append(b"lost")
    server.store.push("pca", b"bytes")
    orphan(server, b"garbage")
    before = content()
    promised = server.store.collect_garbage(grace=0, purge=purge, dry_run=True)
    assert content() == before
    done = server.store.collect_garbage(grace=0, purge=purge)
    changed = {"dry_run": False, "purged_at": done.purged_at}  # it counts from the collection
    assert msgspec.structs.replace(promised, **changed) == done
    assert (done.uploads, done.drafts, done.garbage, done.unfinished, done.purged) == (1, 1, 1, 1, 2 if purge else 1)


def test_a_collection_of_an_empty_store_does_nothing(server: OpStoreServer) -> None:
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert {name: value for name, value in collected.to_dict().items() if value} == {"complete": True}


def test_what_a_version_needs_is_not_purged_even_if_it_is_in_the_trash(server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes")
    digest = digest_of(b"bytes")
    server.store.saver.trash(digest)
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert (collected.purged, collected.trash) == (0, 1)
    assert collected.problems == (
        f"the bytes could not be stored or read: {digest} stays in the trash, because a version needs it",
    )
    server.store.push("lda", b"bytes")  # heals it
    assert server.store.collect_garbage(grace=0, purge=True).purged == 1
    assert server.store.pull("pca") == b"bytes"


@pytest.mark.local
def test_intact_bytes_in_the_trash_are_not_purged_while_the_blob_is_damaged(tmp_path: Path) -> None:
    with store_on_files(tmp_path) as server:
        server.store.push("pca", b"bytes")
        digest = digest_of(b"bytes")
        server.store.saver.trash(digest)
        server.store.push("lda", b"bytes")
        path = tmp_path / "blobs" / "blobs" / digest.hex[:2] / digest.hex
        path.chmod(0o600)
        path.write_bytes(b"BYTES")
        collected = server.store.collect_garbage(grace=0, purge=True)
        assert (collected.purged, trashed(server)) == (0, {digest})
        path.write_bytes(b"bytes")
        assert (server.store.collect_garbage(grace=0, purge=True).purged, trashed(server)) == (1, set())


def test_many_blobs_are_looked_up_in_pages_and_moved_in_batches(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "PAGE", 10)
    monkeypatch.setattr(collection, "BATCH", 4)
    for number in range(25):
        orphan(server, b"%d" % number)
    server.store.push("pca", b"bytes")
    steps = list(server.store.start_collection(0, purge=False, dry_run=False))
    result = steps[-1]
    assert result is not None
    assert (result.garbage, result.trash) == (25, 25)
    # Three pages of blobs and three of the trash, with a step for each batch and for each blob in the trash.
    assert steps.count(None) >= 3 + 7 + 25
    assert list(server.store.saver) == [digest_of(b"bytes")]


def test_a_grace_time_that_is_none_is_refused(server: OpStoreServer) -> None:
    for grace in (-1, 1e12, float("nan")):
        with pytest.raises(errors.InvalidRequest, match="grace"):
            server.store.collect_garbage(grace=grace)


# --- uploads, drafts and results ------------------------------------------------------------------------------------


def test_expired_uploads_and_lost_drafts_are_deleted_and_others_stay(server: OpStoreServer, clock: MovedClock) -> None:
    uploaded(server, b"expired")
    clock.by = timedelta(days=4)
    kept = uploaded(server, b"unfinished")
    clock.by = timedelta(days=8)
    with closing(server.store.saver.draft("0" * 32)) as draft:
        draft.append(b"lost")
    collected = server.store.collect_garbage()
    assert (collected.uploads, collected.uploads_size, collected.drafts, collected.drafts_size) == (1, 7, 1, 4)
    assert (collected.unfinished, collected.unfinished_size, collected.freed) == (1, 10, 11)
    assert left_behind(server) == ([kept], 1)
    assert server.store.uploads.claim(kept, LOCAL).offset == 10


def test_more_uploads_expire_than_one_transaction_deletes(
    server: OpStoreServer, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        uploaded(server, b"x")
    clock.by = WEEK + timedelta(hours=1)
    monkeypatch.setattr(expiry, "EXPIRED_AT_ONCE", 3)
    assert server.store.collect_garbage(dry_run=True).uploads == 7
    assert server.store.collect_garbage().uploads == 7
    assert left_behind(server) == ([], 0)


def test_an_upload_that_is_receiving_bytes_does_not_expire_if_the_clock_jumps(
    server: OpStoreServer, clock: MovedClock
) -> None:
    upload = server.store.uploads.create(LOCAL, None).upload
    writer = server.store.uploads.writer(upload, LOCAL, 0, None)
    writer.append(b"one ")
    clock.by = YEARS
    assert server.store.collect_garbage(grace=0, purge=True).freed == 0
    assert server.store.uploads.expire() == 0
    writer.append(b"and two")
    writer.close()
    assert server.store.uploads.claim(upload, LOCAL).offset == 11


def test_an_upload_from_the_future_expires_a_week_from_now(server: OpStoreServer, clock: MovedClock) -> None:
    clock.by = YEARS
    upload = uploaded(server, b"bytes")
    clock.by = timedelta()
    assert server.store.collect_garbage().uploads == 0
    assert left_behind(server) == ([upload], 1)
    clock.by = WEEK + timedelta(hours=1)
    assert server.store.collect_garbage().uploads == 1


def test_expired_results_of_requests_are_deleted(server: OpStoreServer, clock: MovedClock) -> None:
    for number in range(DELETED_AT_ONCE + 5):
        request = IdempotentRequest(LOCAL, str(number), "request")
        server.store.idempotent(request).register("pca", subversions=f"{number:04x}.aaaa.aaaa")

    def results() -> int:
        with server.db.read() as connection:
            found: int = connection.exec_driver_sql("SELECT count(*) FROM answer").scalar_one()
            return found

    clock.by = timedelta(hours=23)
    server.store.collect_garbage()
    assert results() == DELETED_AT_ONCE + 5
    clock.by = timedelta(hours=25)
    server.store.collect_garbage(dry_run=True)
    assert results() == DELETED_AT_ONCE + 5
    server.store.collect_garbage()
    assert results() == 0


@pytest.mark.local
def test_the_quarantine_is_purged_after_a_month(server: OpStoreServer, clock: MovedClock, tmp_path: Path) -> None:
    server.store.push("pca", b"bytes")
    digest, saver = digest_of(b"bytes"), server.store.saver
    assert saver.quarantine(digest, saver.examine(digest).state)
    quarantine = tmp_path / "blobs" / "quarantine"
    folder = quarantine / ("0" * 64 + ".00000000")
    folder.mkdir()
    (folder / "file").touch()
    (quarantine / ("1" * 64 + ".00000000")).symlink_to(tmp_path)
    (quarantine / "notes.txt").touch()
    kept = server.store.collect_garbage(grace=0, purge=True)
    assert (kept.quarantine, kept.quarantine_size, kept.freed) == (3, 5, 0)
    clock.by = timedelta(days=31)
    assert server.store.collect_garbage(dry_run=True).purged == 3
    assert len(list(quarantine.iterdir())) == 4
    purged = server.store.collect_garbage()
    assert (purged.quarantine, purged.purged, purged.freed, purged.problems) == (0, 3, 5, ())
    assert [path.name for path in quarantine.iterdir()] == ["notes.txt"]
    assert (tmp_path / "blobs").exists()


# --- whose blobs they are -------------------------------------------------------------------------------------------


def test_a_database_in_memory_collects_nothing_from_a_folder(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path)
    with closing(OpStoreServer(saver)) as server:
        digest = orphan(server)
        for dry_run in (False, True):
            with pytest.raises(errors.CollectionRefused, match="in memory"):
                server.store.collect_garbage(grace=0, dry_run=dry_run)
        assert digest in saver


def test_a_store_in_memory_collects_its_own_garbage() -> None:
    with closing(OpStoreServer(MemorySaver())) as server:
        server.store.push("pca", b"bytes")
        orphan(server)
        assert server.store.collect_garbage(grace=0, purge=True).freed == 6
        assert server.store.pull("pca") == b"bytes"


def test_blobs_that_were_there_before_the_database_are_not_collected(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path)
    digest = put(saver, b"of somebody else")
    with closing(OpStoreServer(saver)) as server, pytest.raises(errors.CollectionRefused, match="another store"):
        server.store.collect_garbage(grace=0)
    assert digest in saver


@pytest.mark.local
def test_a_folder_with_another_store_id_is_not_collected(server: OpStoreServer, tmp_path: Path) -> None:
    digest = orphan(server)
    (tmp_path / "blobs" / "store-id").write_text("f" * 32 + "\n")
    with pytest.raises(errors.CollectionRefused, match="does not carry the id of this store"):
        server.store.collect_garbage(grace=0)
    assert digest in server.store.saver


@pytest.mark.local
def test_a_folder_that_was_replaced_is_not_collected(server: OpStoreServer, tmp_path: Path) -> None:
    orphan(server)
    blobs = tmp_path / "blobs"
    blobs.rename(tmp_path / "moved")
    with store_on_files(tmp_path / "other") as other:
        digest = orphan(other)
        (tmp_path / "other" / "blobs").rename(blobs)
        (blobs / "store-id").write_text((tmp_path / "moved" / "store-id").read_text())
        collected = server.store.collect_garbage(grace=0, purge=True)
        assert (collected.garbage, collected.purged) == (0, 0)
        assert collected.problems == (
            "the bytes could not be stored or read: the folder of the blobs was deleted, moved or replaced",
        )
        assert digest in FileSaver(blobs)


def test_a_database_that_was_replaced_collects_nothing(server: OpStoreServer, tmp_path: Path) -> None:
    digest = orphan(server)
    database = tmp_path / "opstore.db"
    database.rename(tmp_path / "moved.db")
    database.write_bytes((tmp_path / "moved.db").read_bytes())
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert collected.garbage == 0
    assert "the database is another file now" in collected.problems[0]
    assert digest in server.store.saver


def test_a_database_that_lost_commits_collects_nothing(server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes")
    digest = orphan(server)
    server.store.saver.record_position(99)
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert (collected.garbage, len(collected.problems)) == (0, 1)
    assert "its journal ends at position 1, and the blobs are those of position 99" in collected.problems[0]
    assert digest in server.store.saver
