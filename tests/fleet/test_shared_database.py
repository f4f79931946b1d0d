"""What the daemons of one PostgreSQL database share, and what none of them may remember by itself."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import Store
from opstore_daemon.store.catalog.damage import DamageMarks, Mark
from opstore_daemon.store.maintenance.schedule import CollectionSchedule
from opstore_daemon.store.page_sessions import PageSessions
from tests.support.figures import few

DIGEST = "sha256:" + "a" * 64
HOUR = timedelta(hours=1)


@pytest.fixture
def databases(store_url: str) -> Iterator[list[Database]]:
    """The same database, as three daemons have it."""
    with ExitStack() as stack:
        found = [stack.enter_context(closing(Database(store_url))) for _ in range(3)]
        Migrate(found[0]).upgrade()
        yield found


def test_a_daemon_sees_the_damage_that_another_one_has_found(databases: list[Database]) -> None:
    one, other = (DamageMarks(database) for database in databases[:2])
    with databases[0].write() as connection:
        one.add(connection, DIGEST, Mark("it is gone", 1))
    with databases[1].read() as connection:
        assert other.find(connection, DIGEST) == Mark("it is gone", 1)
        assert set(other.among(connection, [DIGEST])) == {DIGEST}
    with databases[1].write() as connection:
        other.heal(connection, DIGEST)
    with databases[0].read() as connection:
        assert one.find(connection, DIGEST) is None


class Clock:
    """A clock that is wrong by some time, and goes on by a second whenever it is read."""

    def __init__(self, by: timedelta) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC) + by

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.mark.parametrize("apart", few(1, [timedelta(0), timedelta(seconds=30), HOUR, -3 * HOUR]), ids=str)
def test_the_entries_of_daemons_with_different_clocks_have_an_order_and_past_states(
    databases: list[Database], apart: timedelta
) -> None:
    """Two entries never share a time, so a position is a state, whatever the clocks say."""
    stores = [Store(database, MemorySaver(), Clock(place * apart)) for place, database in enumerate(databases)]
    for number in range(12):
        stores[number % 3].register("pca", fields={"major": {"n": str(number)}})
    log = list(reversed(stores[0].log()))
    assert [entry.position for entry in log] == list(range(1, 13))
    times = [entry.registered_at for entry in log]
    assert all(first != second for first, second in pairwise(times))
    for entry in log:
        assert len(stores[1].versions("pca", as_of=str(entry.position)).versions) == entry.position
    sequences = [version.sequence for version in stores[2].versions("pca").versions]
    assert sequences == list(range(12, 0, -1))


def test_a_code_for_the_page_works_once_in_all_daemons_together(databases: list[Database]) -> None:
    sessions = [PageSessions(database) for database in databases]
    for _ in range(5):
        code, barrier = sessions[0].invite("owner"), threading.Barrier(3)
        secrets: list[str | None] = []

        def use(place: int) -> None:
            barrier.wait(60)  # noqa: B023 - the loop waits for its threads
            secrets.append(sessions[place].start(code))  # noqa: B023

        threads = [threading.Thread(target=use, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        started = [secret for secret in secrets if secret is not None]
        assert len(started) == 1
        assert {each.owner(started[0]) for each in sessions} == {None}, "the second use ended it, everywhere"
    secret = sessions[1].start(sessions[0].invite("owner")) or ""
    assert {each.owner(secret) for each in sessions} == {"owner"}
    sessions[2].end(secret)
    assert {each.owner(secret) for each in sessions} == {None}


def test_of_three_daemons_one_takes_the_daily_collection(databases: list[Database]) -> None:
    schedules = [CollectionSchedule(database) for database in databases]
    for day in range(5):
        seen, barrier = schedules[0].last(), threading.Barrier(3)
        taken: list[bool] = []

        def take(place: int) -> None:
            barrier.wait(60)  # noqa: B023
            taken.append(schedules[place].replace(seen, seen + 86400 * (day + 1)))  # noqa: B023

        threads = [threading.Thread(target=take, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [False, False, True]


def test_daemons_that_register_at_the_same_time_give_each_number_once(databases: list[Database]) -> None:
    stores = [Store(database, MemorySaver()) for database in databases]

    def register(place: int) -> None:
        for number in range(20):
            stores[place].register("pca", fields={"patch": {"n": f"{place}-{number}"}})

    threads = [threading.Thread(target=register, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = stores[0].versions("pca").versions
    assert [version.sequence for version in versions] == list(range(60, 0, -1))
    assert len({version.version for version in versions}) == 60


@pytest.mark.parametrize(("oldest_schema", "starts"), [(None, True), ("9998", False), ("", True)])
def test_a_daemon_starts_beside_a_later_release_if_that_one_lets_it(
    databases: list[Database], oldest_schema: str | None, starts: bool
) -> None:
    with databases[1].write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9998'")
        if oldest_schema is not None:
            connection.exec_driver_sql("UPDATE counter SET oldest_schema = %s", (oldest_schema,))
    if starts:
        with closing(OpStoreServer(MemorySaver(), databases[0])) as server:
            server.store.register("pca", fields={"major": {"n": "1"}})
            assert server.status().schema == "9998", "and it leaves the schema as it is"
    else:
        with pytest.raises(errors.SchemaTooNew):
            OpStoreServer(MemorySaver(), databases[0])


def test_a_daemon_goes_on_beside_a_later_release_until_that_one_says_otherwise(databases: list[Database]) -> None:
    """What a later migration does: another revision, and perhaps another oldest schema."""
    store = Store(databases[0], MemorySaver())
    store.register("pca", fields={"major": {"n": "1"}})
    with databases[1].write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9998'")
        connection.exec_driver_sql("ALTER TABLE op ADD COLUMN later TEXT")
    store.register("pca", fields={"major": {"n": "2"}})
    store.check()
    with databases[1].write() as connection:
        connection.exec_driver_sql("UPDATE counter SET oldest_schema = '9998'")
    for work in (
        store.check,
        lambda: store.register("pca", fields={"major": {"n": "3"}}),
        lambda: store.link("pca", "forest@any"),
    ):
        with pytest.raises(errors.SchemaTooNew) as refused:
            work()
        assert (refused.value.status, refused.value.exit_code) == (503, 9)
    assert len(store.versions("pca").versions) == 2
