"""Uploads whose requests land on several daemons of one store: bytes count once they are stored, and only once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import NewVersion
from opstore_daemon.protocol.samples import BLOCK, BLOCKS
from opstore_daemon.store.ingest import open_uploads
from opstore_daemon.store.ingest.expiry import RETENTION, TOUCH_INTERVAL
from opstore_daemon.store.ingest.writer import Writer
from opstore_daemon.store.operations.ingest import LOCAL
from tests.support.daemons import daemons, kill
from tests.support.figures import few
from tests.support.new_version import new_version
from tests.support.random_bytes import random_bytes
from tests.support.shared_saver import PART, SharedStore
from tests.support.waiting import wait_for

Servers = list[OpStoreServer]
DATA = random_bytes(5 * PART + 12345)


@pytest.fixture
def shared() -> SharedStore:
    return SharedStore()


@pytest.fixture
def servers(tmp_path: Path, shared: SharedStore) -> Iterator[Servers]:
    with daemons(tmp_path, shared, 3) as opened:
        yield opened


def begin(server: OpStoreServer, size: int | None = len(DATA)) -> str:
    return server.store.create_upload(LOCAL, size).upload


def writer_at(server: OpStoreServer, upload: str, offset: int) -> Writer:
    return server.store.uploads.writer(upload, LOCAL, offset, None)


def append(server: OpStoreServer, upload: str, offset: int, data: bytes) -> int:
    """Append as one request; return the offset that the daemon reports."""
    writer = writer_at(server, upload, offset)
    for start in range(0, len(data), 1024 * 1024):
        writer.append(data[start : start + 1024 * 1024])
    return writer.finish().offset


def wanted(upload: str, data: bytes = DATA) -> NewVersion:
    return new_version(upload=upload, checksum=checksum_of(new_sum(data)), size=len(data))


def push(server: OpStoreServer, upload: str, data: bytes = DATA) -> None:
    """Make the version, and check that its bytes are right."""
    pushed = server.store.add_version("pca", wanted(upload, data), LOCAL)
    assert (pushed.digest, pushed.size) == (digest_of(data), len(data))
    assert server.store.pull(f"pca@{pushed.version}") == data


# --- one upload, several daemons --------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", few(1, [1000, PART - 1, PART, 2 * PART + 7]))
def test_each_append_may_land_on_another_daemon(servers: Servers, shared: SharedStore, piece: int) -> None:
    data = DATA[: 7 * piece + 1]
    upload, offset = begin(servers[0], len(data)), 0
    for number in range(8):
        offset = append(servers[number % 3], upload, offset, data[offset : offset + piece])
    push(servers[1], upload, data)
    assert shared.stored == len(data), "no byte is stored twice"
    assert shared.read <= len(data) + BLOCKS * BLOCK, "and each is read back once, apart from the sample"
    assert (shared.staged, shared.memory) == ({}, 0)


def test_a_daemon_that_saw_all_bytes_reads_back_only_the_sample(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    assert append(servers[0], upload, 0, DATA[: 3 * PART]) == 3 * PART
    assert append(servers[0], upload, 3 * PART, DATA[3 * PART :]) == len(DATA)
    push(servers[0], upload)
    assert (shared.requests["read"], shared.read) == (BLOCKS, BLOCKS * BLOCK)


def test_the_version_is_made_by_a_daemon_that_saw_no_byte(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    append(servers[0], upload, 0, DATA)
    push(servers[1], upload)
    assert shared.read == len(DATA) + BLOCKS * BLOCK


def test_what_a_writer_sends_after_it_was_overtaken_never_counts(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    zombie = writer_at(servers[0], upload, 0)
    zombie.append(b"bytes of a request that is lost")
    assert servers[1].store.uploads.claim(upload, LOCAL).offset == 0
    zombie.append(b"more of it")
    append(servers[1], upload, 0, DATA[:PART])
    for _ in range(2):
        with pytest.raises(errors.UploadNotOpen):
            zombie.finish()
    with pytest.raises(errors.UploadNotOpen):
        zombie.append(b"and more")
    append(servers[0], upload, PART, DATA[PART:])
    push(servers[2], upload)
    assert shared.stored == len(DATA)


def test_an_append_with_the_right_offset_takes_the_upload_over(servers: Servers) -> None:
    upload = begin(servers[0])
    earlier = writer_at(servers[0], upload, 0)
    earlier.append(DATA[:100])
    assert append(servers[1], upload, 0, DATA[:200]) == 200
    with pytest.raises(errors.UploadNotOpen):
        earlier.finish()
    assert append(servers[0], upload, 200, DATA[200:]) == len(DATA)
    push(servers[0], upload)


def test_an_append_with_a_wrong_offset_takes_nothing_over(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    writer = writer_at(servers[0], upload, 0)
    writer.append(DATA[:100])
    taken = shared.requests["take"]
    for offset in (100, 7):
        with pytest.raises(errors.OffsetMismatch) as caught:
            writer_at(servers[1], upload, offset)
        assert caught.value.details["offset"] == 0
    with pytest.raises(errors.UploadNotFound):
        servers[1].store.uploads.writer(upload, "somebody else", 0, None)
    assert shared.requests["take"] == taken
    assert writer.finish().offset == 100


def test_a_second_append_to_one_daemon_is_refused_until_the_upload_is_claimed(servers: Servers) -> None:
    upload = begin(servers[0])
    first = writer_at(servers[0], upload, 0)
    with pytest.raises(errors.UploadNotOpen):
        writer_at(servers[0], upload, 0)
    first.append(DATA[:10])
    assert servers[0].store.uploads.claim(upload, LOCAL).offset == 10, "what was accepted is stored first"
    assert writer_at(servers[0], upload, 10).finish().offset == 10


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_an_offset_that_was_reported_outlives_the_daemon(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    reported = append(servers[0], upload, 0, DATA[: PART + 5])
    unreported = writer_at(servers[0], upload, reported)
    unreported.append(DATA[reported : reported + 1000])
    kill(servers[0])
    offset = servers[1].store.uploads.claim(upload, LOCAL).offset
    assert offset == reported
    append(servers[1], upload, offset, DATA[offset:])
    push(servers[1], upload)
    assert shared.memory == 0


def test_an_orderly_end_stores_what_was_accepted(servers: Servers) -> None:
    upload = begin(servers[0])
    writer_at(servers[0], upload, 0).append(DATA[:1000])
    servers[0].store.uploads.close()
    assert servers[1].store.uploads.claim(upload, LOCAL).offset == 1000


@pytest.mark.parametrize("error", [errors.StorageFailed(reason="slow down"), errors.DatabaseFailed(reason="restarted")])
def test_a_request_whose_bytes_could_not_be_stored_fails_and_the_next_one_resumes(
    servers: Servers, shared: SharedStore, error: errors.OpStoreError
) -> None:
    upload = begin(servers[0])
    stored = append(servers[0], upload, 0, DATA[:5000])
    shared.fails = lambda kind: error if kind == "tail" else None
    with pytest.raises(type(error)):
        append(servers[0], upload, stored, DATA[5000:9000])
    shared.fails = lambda _: None
    assert servers[0].store.uploads.claim(upload, LOCAL).offset == stored
    append(servers[0], upload, stored, DATA[stored:])
    push(servers[0], upload)
    assert shared.memory == 0


@pytest.mark.slow
def test_a_full_object_store_ends_the_upload(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    writer = writer_at(servers[0], upload, 0)
    writer.append(DATA[:100])
    shared.fails = lambda _: errors.StorageFull(reason="the quota of the bucket is used up")
    with pytest.raises(errors.StorageFull, match="the upload has ended"):
        writer.finish()
    writer.end_if_refused()
    shared.fails = lambda _: None
    for server in servers:
        with pytest.raises(errors.UploadNotFound):
            server.store.uploads.claim(upload, LOCAL)
    assert (shared.staged, shared.memory) == ({}, 0)


def test_bytes_that_are_gone_are_sent_again(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    append(servers[0], upload, 0, DATA)
    shared.staged[upload].lost = PART
    with pytest.raises(errors.UploadNotOpen):
        servers[1].store.add_version("pca", wanted(upload), LOCAL)
    with pytest.raises(errors.UploadIncomplete):
        servers[2].store.add_version("pca", wanted(upload), LOCAL)
    assert servers[2].store.uploads.claim(upload, LOCAL).offset == PART
    append(servers[0], upload, PART, DATA[PART:])
    push(servers[2], upload)


def test_an_upload_of_unknown_size_ends_if_bytes_are_gone(servers: Servers, shared: SharedStore) -> None:
    """A client that declares nothing could make a version of the rest, at another daemon."""
    upload = begin(servers[0], None)
    append(servers[0], upload, 0, DATA)
    shared.staged[upload].lost = PART
    for server in servers:
        with pytest.raises(errors.UploadNotFound):
            server.store.add_version("pca", new_version(upload=upload), LOCAL)
    assert shared.staged == {}


def test_an_incomplete_upload_is_refused_before_anything_is_sealed_or_read(
    servers: Servers, shared: SharedStore
) -> None:
    upload = begin(servers[0])
    append(servers[0], upload, 0, DATA[:-1])
    with pytest.raises(errors.UploadIncomplete):
        servers[1].store.add_version("pca", wanted(upload), LOCAL)
    assert (shared.requests["seal"], shared.requests["read"]) == (0, 0)
    append(servers[2], upload, len(DATA) - 1, DATA[-1:])
    push(servers[0], upload)


def test_other_bytes_than_declared_end_the_upload(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    append(servers[0], upload, 0, DATA[:-1] + b"?")
    with pytest.raises(errors.ChecksumMismatch):
        servers[1].store.add_version("pca", wanted(upload), LOCAL)
    assert (shared.staged, shared.blobs) == ({}, {})


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_more_than_an_object_can_have_is_refused_at_once(servers: Servers, shared: SharedStore) -> None:
    limit = servers[0].store.saver.max_size
    assert limit is not None
    with pytest.raises(errors.TooLarge):
        begin(servers[0], limit + 1)
    upload = begin(servers[0], None)
    with pytest.raises(errors.TooLarge):
        servers[0].store.uploads.writer(upload, LOCAL, 0, limit + 1)
    with pytest.raises(errors.TooLarge):
        servers[1].store.uploads.writer(upload, LOCAL, 0, limit + 1)
    begin(servers[0], limit)
    assert shared.memory == 0


def test_an_upload_with_bytes_in_memory_is_not_closed_for_others(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_uploads, "MAX_OPEN", 1)
    upload = begin(servers[0])
    writer = writer_at(servers[0], upload, 0)
    writer.append(DATA[:100])
    writer.close()
    begin(servers[0])
    assert writer.finish().offset == 100
    append(servers[0], upload, 100, DATA[100:])
    push(servers[0], upload)


def test_a_claim_waits_for_bytes_that_are_being_stored(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    writer = writer_at(servers[0], upload, 0)
    writer.append(DATA[:100])
    offsets: list[int] = []
    with shared.closed():
        threads = [threading.Thread(target=each) for each in _offsets(servers[0], upload, writer, offsets)]
        for thread in threads:
            thread.start()
        assert offsets == []
    for thread in threads:
        thread.join()
    assert offsets == [100, 100]


def _offsets(server: OpStoreServer, upload: str, writer: Writer, into: list[int]) -> list[Callable[[], None]]:
    return [
        lambda: into.append(writer.finish().offset),
        lambda: into.append(server.store.uploads.claim(upload, LOCAL).offset),
    ]


def test_an_upload_that_another_daemon_receives_does_not_expire(
    servers: Servers, shared: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(servers[0])
    writer = writer_at(servers[0], upload, 0)
    writer.append(DATA[:100])
    later = servers[0].store._now() + RETENTION + TOUCH_INTERVAL
    for server in servers:
        monkeypatch.setattr(server.store.uploads, "_now", lambda: later)
    servers[0].store.uploads.expire()
    assert servers[1].store.uploads.expire() == 0
    assert writer.finish().offset == 100
    monkeypatch.setattr(servers[1].store.uploads, "_now", lambda: later + RETENTION + 1)
    assert servers[1].store.uploads.expire() == 1
    assert shared.staged == {}


def test_memory_is_free_after_each_request(servers: Servers, shared: SharedStore) -> None:
    upload = begin(servers[0])
    append(servers[0], upload, 0, DATA[: PART + 1])
    assert shared.memory == 0
    unused = writer_at(servers[1], upload, PART + 1)
    assert unused.is_ready()
    assert shared.memory > 0
    assert unused.finish().offset == PART + 1
    assert shared.memory == 0
    wait_for(lambda: shared.memory == 0)
