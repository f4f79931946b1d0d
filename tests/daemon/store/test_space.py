"""Pushes leave a margin of the disk free, one by one and together, and one that is refused frees what it took."""

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.file_draft import FileDraft
from opstore_daemon.store.ingest.space import EVERY, Space
from opstore_daemon.system.full_disk import MARGIN
from tests.daemon.store.test_faults import (
    LOCAL,
    append,
    left_behind,
    limit_pages,
    nothing_is_there,
    uploaded,
    wanted,
)
from tests.support.faults import commit_fails
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.new_version import new_version
from tests.support.places import Place
from tests.support.small_disk import MIB, CountedDisk
from tests.support.sqlite_database import as_sqlite

ROOM = 6 * MIB

pytestmark = pytest.mark.local  # the space on the disk of the folder


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountedDisk:
    """Return a disk with room for 6 MiB besides the margin."""
    return CountedDisk(monkeypatch, tmp_path / "blobs", MARGIN + ROOM)


def is_empty(server: OpStoreServer, disk: CountedDisk) -> bool:
    """Return whether the store has nothing, and takes nothing on the disk."""
    return nothing_is_there(server) and left_behind(server) == ([], 0) and disk.free == disk.capacity


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_unknown_size_is_refused_at_the_margin_and_frees_what_it_took(
    server: OpStoreServer, http: Http, disk: CountedDisk, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    lowest = [disk.free]
    for name in ("append", "receive"):
        call = getattr(FileDraft, name)

        def watched(draft: FileDraft, *arguments: Any, call: Any = call) -> Any:
            found = call(draft, *arguments)
            lowest.append(disk.free)
            return found

        monkeypatch.setattr(FileDraft, name, watched)
    upload = http.upload()
    body = bytes(ROOM + 1)
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    response = http.append(upload, pieces if chunked else body, 0)
    assert (response.status_code, response.json()["code"]) == (507, "StorageFull")
    assert MARGIN <= min(lowest) <= MARGIN + 2 * MIB
    assert is_empty(server, disk)
    assert http.get(f"/v1/uploads/{upload}").status_code == 404
    again = http.upload()
    assert http.append(again, bytes(ROOM), 0).status_code == 200, "all besides the margin can be used"


def test_uploads_together_leave_the_margin(server: OpStoreServer, http: Http, disk: CountedDisk) -> None:
    known = [http.post("/v1/uploads", {"size": 4 * MIB}).json()["upload"] for _ in range(2)]
    for start in range(0, 4 * MIB, MIB):
        statuses = [http.append(upload, bytes(MIB), start).status_code for upload in known]
        assert disk.free >= MARGIN
        if statuses != [200, 200]:
            break
    assert statuses == [507, 200] or start < 3 * MIB
    assert disk.free >= MARGIN


def test_an_announced_upload_that_does_not_fit_is_refused_before_its_first_byte(
    files: OpStoreServer, disk: CountedDisk
) -> None:
    for size in (ROOM + 1, 10 * ROOM):
        with pytest.raises(errors.StorageFull, match=f"{size} bytes are needed, and {ROOM} bytes are free"):
            files.store.create_upload(LOCAL, size)
    assert is_empty(files, disk)
    assert files.store.create_upload(LOCAL, ROOM).size == ROOM


@pytest.mark.parametrize("free", [0, 1, MARGIN - 1])
@pytest.mark.parametrize("source", few(3, [b"", b"bytes", io.BytesIO(b"bytes")]))
def test_below_the_margin_every_push_is_refused_whether_its_size_is_known_or_not(
    files: OpStoreServer, disk: CountedDisk, free: int, source: Any
) -> None:
    disk.capacity = free
    with pytest.raises(errors.StorageFull, match="which are kept for metadata"):
        files.store.push("pca", source)
    with pytest.raises(errors.StorageFull):
        files.store.create_upload(LOCAL, None)
    assert is_empty(files, disk)
    files.store.register("pca", fields={"patch": {"a": "b"}})


def test_pushes_in_several_threads_leave_the_margin(files: OpStoreServer, disk: CountedDisk) -> None:
    disk.capacity = MARGIN + 2 * MIB
    everybody = threading.Barrier(6)

    def push(number: int) -> bool:
        everybody.wait()
        try:
            files.store.push(f"op{number}", bytes([number]) * MIB)
        except errors.StorageFull:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(push, range(6)))
    assert 1 <= sum(done) <= 2
    assert disk.free == disk.capacity - sum(done) * MIB


def test_bytes_that_are_being_written_count() -> None:
    shared = Space(lambda: MARGIN + 10)
    with shared.writing(6):
        with pytest.raises(errors.StorageFull), shared.writing(5):
            pass
        with shared.writing(4, streams=True), pytest.raises(errors.StorageFull):
            shared.check(1)
    with shared.writing(10):
        pass


def test_a_stream_looks_once_in_some_bytes_and_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, now = [0], [0.0]

    def free() -> int:
        looks[0] += 1
        return 1000 * MIB

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shared = Space(free)

    def stream(count: int) -> int:
        before = looks[0]
        for _ in range(count):
            with shared.writing(MIB // 4, streams=True):
                pass
        return looks[0] - before

    assert stream(160) == 40 * MIB // EVERY
    now[0] += 2
    assert stream(4) == 1
    now[0] += 2
    assert stream(4) == 1


def test_a_stream_of_small_pieces_looks_no_more_often() -> None:
    looks = [0]

    def free() -> int:
        looks[0] += 1
        return 1000 * MIB

    shared = Space(free)
    for _ in range(8 * MIB // 1000):
        with shared.writing(MIB, streams=True):
            pass
        shared.give_back(MIB - 1000)
    assert looks[0] <= 4


def test_what_a_stream_gives_back_is_not_taken_after_another_push(disk: CountedDisk) -> None:
    shared = Space(lambda: disk.free)
    with shared.writing(MIB, streams=True):
        pass
    with shared.writing(1):
        disk.capacity -= ROOM
    shared.give_back(MIB - 1)
    with pytest.raises(errors.StorageFull), shared.writing(1, streams=True):
        pass


def test_a_stream_looks_again_after_another_push(disk: CountedDisk) -> None:
    shared = Space(lambda: disk.free)
    with shared.writing(1, streams=True):
        pass
    with shared.writing(1):
        disk.capacity -= ROOM
    with pytest.raises(errors.StorageFull), shared.writing(1, streams=True):
        pass


def test_a_large_upload_looks_at_the_disk_once_in_some_bytes(http: Http, disk: CountedDisk) -> None:
    disk.capacity = 100 * MIB
    upload = http.upload()
    before = disk.looks
    assert http.append(upload, bytes(32 * MIB), 0).status_code == 200
    assert disk.looks - before <= 2 * 32 * MIB // EVERY


def test_a_saver_that_does_not_know_its_space_refuses_nothing(place: Place) -> None:
    server = place.open()
    assert server.store.push("pca", io.BytesIO(b"bytes")).size == 5
    server.close()


def test_an_upload_is_not_published_into_the_margin(files: OpStoreServer, disk: CountedDisk) -> None:
    upload = uploaded(files, b"bytes")
    disk.capacity = MARGIN
    with pytest.raises(errors.StorageFull, match="kept for metadata"):
        files.store.add_version("pca", wanted(upload), LOCAL)
    assert is_empty(files, disk)


def test_an_upload_whose_draft_cannot_be_created_leaves_no_row(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_saver: FileSaver, _upload: str) -> Any:
        raise errors.StorageFull(reason="No space left on device (no inodes are left for new files)")

    with monkeypatch.context() as patch:
        patch.setattr(FileSaver, "draft", refuse)
        with pytest.raises(errors.StorageFull):
            files.store.create_upload(LOCAL, None)
    assert left_behind(files) == ([], 0)


# --- nothing can be written to the database ---------------------------------------------------------------------------


def full(server: OpStoreServer, at: str = "do_commit") -> None:
    """Let no transaction commit, or begin."""
    as_sqlite(server.db).reserve.give_up()

    def fail(_connection: Any) -> None:
        raise errors.StorageFull(reason="database or disk is full")

    setattr(server.db.engine.dialect, at, fail)


@pytest.mark.parametrize("data", [None, b"small"])
def test_a_blob_whose_version_was_refused_is_deleted_though_nothing_can_be_written(
    files: OpStoreServer, data: bytes | None
) -> None:
    request = wanted(uploaded(files, b"bytes")) if data is None else new_version()
    full(files)
    with pytest.raises(errors.StorageFull):
        files.store.add_version("pca", request, LOCAL, data)
    assert set(files.store.saver) == set()
    assert list(files.store.saver.drafts()) == []


def test_a_blob_that_another_version_has_stays_when_the_disk_is_full(files: OpStoreServer) -> None:
    files.store.push("pca", b"bytes")
    full(files)
    with pytest.raises(errors.StorageFull):
        files.store.push("forest", b"bytes")
    assert files.store.pull("pca") == b"bytes"


def test_a_commit_with_an_unknown_outcome_keeps_the_blob_and_the_upload(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploaded(files, b"bytes")
    with commit_fails(files.db, monkeypatch, happened=False), pytest.raises(errors.OutcomeUnknown):
        files.store.add_version("pca", wanted(upload), LOCAL)
    assert len(set(files.store.saver)) == 1
    assert left_behind(files) == ([upload], 1)
    assert files.store.add_version("pca", wanted(upload), LOCAL).version == "1.0.0"


def test_discarding_an_upload_frees_its_bytes_though_nothing_can_be_written(
    files: OpStoreServer, tmp_path: Path
) -> None:
    upload = uploaded(files, b"bytes")
    full(files, "do_begin")
    with pytest.raises(errors.UploadNotFound):
        files.store.discard_upload(upload, "somebody else")
    assert files.store.saver.staged_size(upload) == 5
    with pytest.raises(errors.StorageFull):
        files.store.discard_upload(upload, LOCAL)
    assert os.listdir(tmp_path / "blobs" / "staging") == []


def test_discarding_an_upload_takes_the_reserve_and_brings_it_back(files: OpStoreServer) -> None:
    upload = uploaded(files, b"bytes")
    as_sqlite(files.db).reserve.keep()
    commit, blocked = files.db.engine.dialect.do_commit, as_sqlite(files.db).reserve.path
    assert blocked is not None
    seen = []

    def needs_the_reserve(connection: Any) -> None:
        seen.append(blocked.exists())
        if blocked.exists():
            raise errors.StorageFull(reason="database or disk is full")
        commit(connection)

    setattr(files.db.engine.dialect, "do_commit", needs_the_reserve)  # noqa: B010 - mypy knows it for a method
    files.store.discard_upload(upload, LOCAL)
    assert seen == [True, False]
    assert left_behind(files) == ([], 0)
    assert blocked.exists()


def test_an_old_upload_can_be_claimed_while_nothing_can_be_written(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploaded(files, b"bytes")
    later = files.store._now() + 2 * 3600 * 1_000_000
    monkeypatch.setattr(files.store.uploads, "_now", lambda: later)
    full(files)
    assert files.store.uploads.claim(upload, LOCAL).offset == 5


def test_a_store_opens_while_its_expired_uploads_cannot_be_deleted(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploaded(files, b"bytes")
    later = files.store._now() + 8 * 24 * 3600 * 1_000_000
    monkeypatch.setattr(files.store.uploads, "_now", lambda: later)
    full(files)
    files.store.uploads.sweep()
    assert list(files.store.saver.drafts()) == []
    del files.db.engine.dialect.do_commit
    files.store.uploads.sweep()
    assert left_behind(files) == ([], 0)
    assert upload


def test_a_database_that_is_full_refuses_links_and_tags_and_keeps_reads(files: OpStoreServer) -> None:
    files.store.push("pca", b"bytes", tags=["prod"])
    files.store.push("forest", b"more")
    limit_pages(files, 0)
    refused = 0
    for number in range(200):
        try:
            files.store.link("pca", "forest@any", evidence=f"{number} " + "x" * 900)
            files.store.tag(["pca"], f"t{number}")
        except errors.StorageFull:
            refused += 1
            break
    assert refused == 1
    assert files.store.pull("pca@prod") == b"bytes"
    assert files.store.op("pca").versions == 1
    limit_pages(files, None)
    files.store.link("pca", "forest@any")


def test_appending_after_a_refusal_finds_no_upload(files: OpStoreServer, disk: CountedDisk) -> None:
    upload = files.store.uploads.create(LOCAL, None).upload
    writer = files.store.uploads.writer(upload, LOCAL, 0, None)
    writer.append(bytes(MIB))
    with pytest.raises(errors.StorageFull):
        writer.append(bytes(ROOM))
    with pytest.raises(errors.UploadNotFound):
        writer.append(b"x")
    with pytest.raises(errors.UploadNotFound):
        append(files, upload, MIB, b"x")
    with pytest.raises(errors.UploadNotFound):
        files.store.uploads.claim(upload, LOCAL)
    writer.end_if_refused()
    assert is_empty(files, disk)
