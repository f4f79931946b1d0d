"""The checksum of what is pushed: begun before its first byte is sent, and the same however it was come by."""

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer.checksum import Summing
from opstore_cli.transfer.source import Source, opened
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import HASH_READ_SIZE, SMALL_PUSH
from tests.support.fake_daemon import TOKEN, FakeDaemon

DATA = os.urandom(9 * HASH_READ_SIZE + 17)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize(
    "ends", [[0, 1, HASH_READ_SIZE, HASH_READ_SIZE + 1, 5 * HASH_READ_SIZE, 3, len(DATA)], [len(DATA)]]
)
@pytest.mark.parametrize("kind", ["a path", "bytes"])
def test_it_is_that_of_all_bytes_however_it_was_asked_for(path: Path, ends: list[int], kind: str) -> None:
    with opened(path if kind == "a path" else DATA) as source:
        summing = Summing(source)
        for end in ends:
            summing.reach(end)
        assert summing.checksum() == checksum_of(new_sum(DATA))


@pytest.mark.parametrize("kind", ["a path", "bytes"])
def test_one_that_was_begun_goes_on_where_its_thread_was(path: Path, kind: str) -> None:
    with opened(path if kind == "a path" else DATA) as source, Summing.begun(source):
        summing = Summing.of(source)
        assert summing is source.summing
        summing.reach(3 * HASH_READ_SIZE)
        assert not [thread for thread in threading.enumerate() if thread.name == "opstore-sum"]
        assert summing._end >= 3 * HASH_READ_SIZE
        summing.reach(len(DATA))
        assert summing.checksum() == checksum_of(new_sum(DATA))


def test_one_that_was_begun_needs_no_more_of_the_source_when_it_is_done(path: Path) -> None:
    with opened(path) as source, Summing.begun(source):
        summing = Summing.of(source)
        assert summing._thread is not None
        summing._thread.join()
        os.truncate(path, 0)
        summing.reach(len(DATA))
        assert summing.checksum() == checksum_of(new_sum(DATA))


def test_what_fails_behind_its_back_is_met_by_who_asks(path: Path) -> None:
    with opened(path) as source:
        os.truncate(path, HASH_READ_SIZE)
        with Summing.begun(source):
            summing = Summing.of(source)
            assert summing._thread is not None
            summing._thread.join()
            with pytest.raises(errors.FileRefused, match="shorter while it was read"):
                summing.reach(len(DATA))


def test_its_thread_ends_with_the_context_whatever_happens(path: Path) -> None:
    with pytest.raises(KeyError), opened(path) as source, Summing.begun(source):
        raise KeyError
    assert not [thread for thread in threading.enumerate() if thread.name == "opstore-sum"]


def test_a_few_bytes_are_worth_no_thread(path: Path) -> None:
    path.write_bytes(b"x" * SMALL_PUSH)
    with opened(path) as source, Summing.begun(source):
        assert source.summing is None


def test_a_push_takes_the_sum_that_was_begun(path: Path) -> None:
    with (
        FakeDaemon() as daemon,
        OpStoreClient(daemon.url, token=TOKEN) as client,
        opened(path) as source,
        Summing.begun(source),
    ):
        assert source.summing is not None
        client.push("pca", source)
        assert daemon.versions == [DATA]
        assert source.summing._end == len(DATA)


def test_one_that_is_paused_leaves_the_source_to_others_and_goes_on_when_it_is_asked(path: Path) -> None:
    with opened(path) as source, Summing.begun(source):
        summing = Summing.of(source)
        summing.pause()
        assert not [thread for thread in threading.enumerate() if thread.name == "opstore-sum"]
        summing.reach(len(DATA))
        assert summing.checksum() == checksum_of(new_sum(DATA))


def test_bytes_that_the_store_has_are_not_summed_beside_their_digest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: list[str] = []

    def digest(source: Source, progress: Callable[[int], None]) -> Digest:
        beside.extend(thread.name for thread in threading.enumerate() if thread.name == "opstore-sum")
        return taken(source, progress)

    taken = Source.digest
    monkeypatch.setattr(Source, "digest", digest)
    monkeypatch.setattr(Summing, "_step", lambda summing, _end: summing._source.sample())  # it is never done
    with (
        FakeDaemon() as daemon,
        OpStoreClient(daemon.url, token=TOKEN) as client,
        opened(path) as source,
        Summing.begun(source),
    ):
        daemon.versions = [DATA]
        client.push("pca", source)
        assert (daemon.versions, beside) == ([DATA], [])


class _Held(io.BytesIO):
    """A file that is being read until it is let go."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.entered, self.go = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.entered.set()
        assert self.go.wait(30)
        return super().read(size)


def test_who_sets_a_source_behind_its_bytes_waits_for_who_reads_it() -> None:
    # It was read from there on for ever, where it was a folder.
    source = Source(held := _Held(DATA), "held", Path("held"))
    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(source.read_at, 3, 100)
        assert held.entered.wait(30)
        ending = threads.submit(source.end)
        try:
            with pytest.raises(TimeoutError):
                ending.result(timeout=0.1)
        finally:
            held.go.set()
        assert reading.result(timeout=30) == DATA[3:103]
        ending.result(timeout=30)
    assert held.tell() == len(DATA)
