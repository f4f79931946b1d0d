"""The checksum of what is pushed: begun before its first byte is sent, and the same however it was come by."""

import os
import threading
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.sources import opened
from opstore_cli.summing import Summing
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.hashing import STEP
from opstore_daemon.protocol.routes import SMALL
from tests.cli.fake_daemon import FakeDaemon

DATA = os.urandom(9 * STEP + 17)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("ends", [[0, 1, STEP, STEP + 1, 5 * STEP, 3, len(DATA)], [len(DATA)]])
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
        summing.reach(3 * STEP)
        assert not [thread for thread in threading.enumerate() if thread.name == "opstore-sum"]
        assert summing._end >= 3 * STEP
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
        os.truncate(path, STEP)
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
    path.write_bytes(b"x" * SMALL)
    with opened(path) as source, Summing.begun(source):
        assert source.summing is None


def test_a_push_takes_the_sum_that_was_begun(path: Path) -> None:
    with (
        FakeDaemon() as daemon,
        OpStoreClient(daemon.url, token="t") as client,
        opened(path) as source,
        Summing.begun(source),
    ):
        assert source.summing is not None
        client.push("pca", source)
        assert daemon.versions == [DATA]
        assert source.summing._end == len(DATA)
