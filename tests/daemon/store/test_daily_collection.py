"""The daily collection: when it begins, what it logs, and how it ends."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.maintenance import collection, daily
from opstore_daemon.store.maintenance.daily import DailyCollection
from opstore_daemon.store.maintenance.schedule import CollectionSchedule
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
def schedule(server: OpStoreServer, clock: Clock) -> CollectionSchedule:
    """The schedule of a store that was collected just now."""
    schedule = CollectionSchedule(server.db)
    assert schedule.replace(schedule.last(), clock.now)
    return schedule


def begins(collector: DailyCollection, idle_for: float = 60.0) -> bool:
    """Tick; return whether a collection began, once it has ended."""
    before = collector._thread
    collector.tick(idle_for)
    if collector._thread is None or collector._thread is before:
        return False
    collector._thread.join()
    return True


def test_it_runs_once_a_day_in_an_idle_daemon(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock
) -> None:
    collector = DailyCollection(server.store.collector, schedule, clock, clock)
    assert not begins(collector), "a new home"
    clock.now += DAY - 1
    assert not begins(collector)
    clock.now += 2
    orphan(server)
    assert not begins(collector, idle_for=1.0), "busy"
    assert begins(collector)
    assert trashed(server) == {digest_of(b"orphan")}
    assert not begins(collector)
    again = DailyCollection(server.store.collector, schedule, clock, clock)
    assert not begins(again), "also after a restart"
    clock.now += DAY
    assert begins(again)


def test_a_busy_daemon_collects_a_day_later(server: OpStoreServer, schedule: CollectionSchedule, clock: Clock) -> None:
    collector = DailyCollection(server.store.collector, schedule, clock, clock)
    clock.now += 2 * DAY - 1
    assert not begins(collector, idle_for=0.0)
    clock.now += 2
    assert begins(collector, idle_for=0.0)


@pytest.mark.parametrize("years", [-20, 7000])
def test_a_store_whose_last_collection_was_long_ago_or_lies_ahead_collects(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock, years: int
) -> None:
    assert schedule.replace(clock.now, clock.now + years * 365 * DAY)
    assert begins(DailyCollection(server.store.collector, schedule, clock, clock))
    assert schedule.last() == clock.now


def test_a_new_store_counts_from_its_creation(server: OpStoreServer) -> None:
    schedule = CollectionSchedule(server.db)
    assert abs(schedule.last() - time.time()) < DAY
    assert not begins(DailyCollection(server.store.collector, schedule))


def test_of_several_daemons_one_collects_a_day(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    daemons = [DailyCollection(server.store.collector, schedule, clock, clock) for _ in range(3)]
    caplog.set_level(logging.INFO, "opstore.gc")
    for day in range(1, 4):
        clock.now += DAY + 1
        for daemon in daemons:
            begins(daemon)
        assert len(caplog.messages) == day


def test_of_several_daemons_that_begin_at_the_same_time_one_collects(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    barrier = threading.Barrier(3)

    class Together(CollectionSchedule):
        """Each daemon has seen that a collection is due before the first one begins."""

        def replace(self, seen: float, at: float) -> bool:
            if seen == before:
                barrier.wait(60)
            return super().replace(seen, at)

    before = clock.now
    daemons = [DailyCollection(server.store.collector, Together(server.db), clock, clock) for _ in range(3)]
    clock.now += DAY + 1
    with caplog.at_level(logging.INFO, "opstore.gc"):
        for daemon in daemons:
            daemon.tick(60.0)
        for daemon in daemons:
            assert daemon._thread is not None
            daemon._thread.join()
    assert len(caplog.messages) == 1
    assert schedule.last() == clock.now


def test_another_daemon_collects_an_hour_after_one_was_killed(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, other = (DailyCollection(server.store.collector, schedule, clock, clock) for _ in range(2))
    clock.now += DAY + 1
    with monkeypatch.context() as patch:
        patch.setattr(killed, "_collects", lambda: False)
        assert begins(killed)
    begins(other)
    assert schedule.last() < clock.now - DAY / 2, "nobody has collected yet"
    clock.now += daily.HELD + 1
    assert begins(other)
    assert schedule.last() == clock.now


def test_a_database_that_fails_is_asked_again_after_an_hour(
    server: OpStoreServer,
    schedule: CollectionSchedule,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> float:
        raise errors.DatabaseFailed(reason="it is gone")

    collector = DailyCollection(server.store.collector, schedule, clock, clock)
    clock.now += DAY + 1
    with monkeypatch.context() as patch:
        patch.setattr(schedule, "last", fail)
        assert begins(collector)
        assert not begins(collector)
    assert len(caplog.messages) == 1
    clock.now += daily.HELD + 1
    assert begins(collector)


def test_it_is_off_without_a_schedule(server: OpStoreServer, clock: Clock) -> None:
    collector = DailyCollection(server.store.collector, None, clock, clock)
    clock.now += 10 * DAY
    assert not begins(collector)
    collector.stop()


def test_the_log_says_what_was_freed(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    collector = DailyCollection(server.store.collector, schedule, clock, clock)
    orphan(server)
    clock.now += DAY + 1
    with caplog.at_level(logging.INFO, "opstore.gc"):
        assert begins(collector)
    assert caplog.messages == [
        "collected garbage: freed 0 B; moved 1 blob (6 B) to the trash, which has 1 (6 B)",
    ]


def test_a_failure_is_logged_once_and_tried_again_the_next_day(
    server: OpStoreServer,
    schedule: CollectionSchedule,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise errors.StorageFailed(reason="Input/output error")

    collector = DailyCollection(server.store.collector, schedule, clock, clock)
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
    schedule: CollectionSchedule,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.store.collector, "start", lambda *_, **__: 1 / 0)
    collector = DailyCollection(server.store.collector, schedule, clock, clock)
    clock.now += DAY + 1
    assert begins(collector)
    assert caplog.messages == ["the daily collection failed"]
    assert not begins(collector)


def test_it_tries_again_an_hour_after_a_backup_held_it_off(
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock
) -> None:
    collector = DailyCollection(server.store.collector, schedule, clock, clock)
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
    server: OpStoreServer, schedule: CollectionSchedule, clock: Clock, monkeypatch: pytest.MonkeyPatch
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
    collector = DailyCollection(server.store.collector, schedule, clock, clock)
    before = schedule.last()
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
    assert schedule.last() == before, "the next daemon continues"
    assert not begins(collector)
