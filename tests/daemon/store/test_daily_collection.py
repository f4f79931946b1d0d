"""The daily collection: when it begins, what it logs, and how it ends."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.maintenance import collection, daily
from opstore_daemon.store.maintenance.daily import DailyCollection
from tests.support.clock import Clock
from tests.support.garbage import MovedClock, orphan, store_on_files, trashed

DAY = 24 * 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpStoreServer]:
    moved = MovedClock()
    moved.by = timedelta(days=2)  # what is published now is old
    with store_on_files(tmp_path, moved) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "last-collection"


def begins(collector: DailyCollection, idle_for: float = 60.0) -> bool:
    """Tick; return whether a collection began, once it has ended."""
    before = collector._thread
    collector.tick(idle_for)
    if collector._thread is None or collector._thread is before:
        return False
    collector._thread.join()
    return True


def test_it_runs_once_a_day_in_an_idle_daemon(server: OpStoreServer, file: Path, clock: Clock) -> None:
    collector = DailyCollection(server.store.collector, file, clock, clock)
    assert not begins(collector), "a new home"
    clock.now += DAY - 1
    assert not begins(collector)
    clock.now += 2
    orphan(server)
    assert not begins(collector, idle_for=1.0), "busy"
    assert begins(collector)
    assert trashed(server) == {digest_of(b"orphan")}
    assert not begins(collector)
    again = DailyCollection(server.store.collector, file, clock, clock)
    assert not begins(again), "also after a restart"
    clock.now += DAY
    assert begins(again)


def test_a_busy_daemon_collects_a_day_later(server: OpStoreServer, file: Path, clock: Clock) -> None:
    collector = DailyCollection(server.store.collector, file, clock, clock)
    clock.now += 2 * DAY - 1
    assert not begins(collector, idle_for=0.0)
    clock.now += 2
    assert begins(collector, idle_for=0.0)


@pytest.mark.parametrize("content", ["2001-01-01T00:00:00+00:00", "9001-01-01T00:00:00+00:00"])
def test_a_home_whose_last_collection_was_long_ago_or_lies_ahead_collects(
    server: OpStoreServer, file: Path, content: str
) -> None:
    file.write_text(content)
    assert begins(DailyCollection(server.store.collector, file))
    assert abs(datetime.fromisoformat(file.read_text().strip()) - datetime.now(UTC)).total_seconds() < 3600


@pytest.mark.parametrize("content", ["", "yesterday", "\x00" * 200, "2026-13-01"])
def test_a_damaged_file_counts_from_now(server: OpStoreServer, file: Path, clock: Clock, content: str) -> None:
    file.write_text(content)
    collector = DailyCollection(server.store.collector, file, clock, clock)
    assert not begins(collector)
    assert datetime.fromisoformat(file.read_text().strip()).timestamp() == clock.now


def test_it_is_off_without_a_file(server: OpStoreServer, file: Path, clock: Clock) -> None:
    collector = DailyCollection(server.store.collector, None, clock, clock)
    clock.now += 10 * DAY
    assert not begins(collector)
    assert not file.exists()
    collector.stop()


def test_the_log_says_what_was_freed(
    server: OpStoreServer, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    collector = DailyCollection(server.store.collector, file, clock, clock)
    orphan(server)
    clock.now += DAY + 1
    with caplog.at_level(logging.INFO, "opstore.gc"):
        assert begins(collector)
    assert caplog.messages == [
        "collected garbage: freed 0 B; moved 1 blob (6 B) to the trash, which has 1 (6 B)",
    ]


def test_a_failure_is_logged_once_and_tried_again_the_next_day(
    server: OpStoreServer,
    file: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise errors.StorageFailed(reason="Input/output error")

    collector = DailyCollection(server.store.collector, file, clock, clock)
    with monkeypatch.context() as patch:
        patch.setattr(server.store.collector, "start", fail)
        clock.now += DAY + 1
        assert begins(collector)
        clock.now += DAY - 1
        assert not begins(collector)
    assert caplog.messages == ["the daily collection failed: the bytes could not be stored or read: Input/output error"]
    clock.now += 2
    assert begins(collector)


def test_a_bug_in_it_does_not_end_the_daemon(
    server: OpStoreServer,
    file: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.store.collector, "start", lambda *_, **__: 1 / 0)
    collector = DailyCollection(server.store.collector, file, clock, clock)
    clock.now += DAY + 1
    assert begins(collector)
    assert caplog.messages == ["the daily collection failed"]
    assert not begins(collector)


def test_it_tries_again_an_hour_after_a_backup_held_it_off(server: OpStoreServer, file: Path, clock: Clock) -> None:
    collector = DailyCollection(server.store.collector, file, clock, clock)
    digest = orphan(server)
    clock.now += DAY + 1
    with server.store.saver.collection_lock.shared():
        assert begins(collector)
        assert not begins(collector)
    assert digest in server.store.saver
    clock.now += daily.HELD + 1
    assert begins(collector)
    assert trashed(server) == {digest}


def test_a_stop_waits_for_one_batch_at_most(
    server: OpStoreServer, file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "BATCH", 2)
    for number in range(9):
        orphan(server, b"%d" % number)
    moving, stopping = threading.Event(), threading.Event()
    trash = server.store.saver.trash

    def move(digest: Any) -> None:
        moving.set()
        assert stopping.wait(60)
        trash(digest)

    monkeypatch.setattr(server.store.saver, "trash", move)
    collector = DailyCollection(server.store.collector, file, clock, clock)
    written = file.read_text()
    clock.now += DAY + 1
    collector.tick(60.0)
    assert moving.wait(60)
    ended = threading.Thread(target=collector.stop)
    ended.start()
    while not collector._stopping.is_set():
        ended.join(0.01)
    stopping.set()
    ended.join()
    assert len(trashed(server)) == 2
    assert file.read_text() == written, "the next daemon continues"
    assert not begins(collector)
