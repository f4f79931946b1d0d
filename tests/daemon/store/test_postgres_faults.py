"""A store in PostgreSQL while its server fails: errors of ours, nothing acknowledged lost, no repair by hand."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Journal, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.savers import FileSaver
from opstore_daemon.store import Store
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.maintenance.pages import FsckOptions
from tests.support.fault_proxy import TcpProxy
from tests.support.postgres import Postgres
from tests.support.waiting import wait_for


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Callable[[str], OpStoreServer]]:
    """Return a function that opens a server on the database at a URL, with its bytes in a folder."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(closing(OpStoreServer(FileSaver(tmp_path / "blobs"), url)))


def through(url: str, proxy: TcpProxy) -> str:
    """Return the URL by way of the proxy."""
    return re.sub(r":\d+/", f":{proxy.port}/", url)


def port_of(url: str) -> int:
    """Return the port in the URL."""
    found = re.search(r":(\d+)/", url)
    assert found is not None
    return int(found[1])


def push(store: Store, number: int) -> VersionRecord:
    """Push bytes of their own, with a key."""
    bound = store.idempotent(IdempotentRequest("me", f"key {number}", f"request {number}"))
    return bound.push("pca", f"bytes {number}".encode())


def push_until_settled(store: Store, number: int) -> int:
    """Push, as often as a client repeats it; return the sequence of the version."""
    while True:
        try:
            return push(store, number).sequence
        except (errors.DatabaseFailed, errors.OutcomeUnknown):
            time.sleep(0.01)  # as the client does


def has_at_least(values: list[int], count: int) -> bool:
    """Return whether the list has so many values."""
    return len(values) >= count


def sequences(database: Database) -> list[int]:
    """Return the sequences of all versions; check that the journal has no gaps."""
    with database.read() as connection:
        positions = connection.execute(select(Journal.position).order_by(Journal.position)).scalars().all()
        assert positions == list(range(1, len(positions) + 1))
        return list(connection.execute(select(Version.sequence).order_by(Version.sequence)).scalars())


@pytest.mark.parametrize("happened", [True, False])
def test_a_push_whose_commit_got_no_response_is_settled_by_its_repetition(
    open_server: Callable[[str], OpStoreServer], store_url: str, happened: bool
) -> None:
    with TcpProxy(port_of(store_url)) as proxy:
        server = open_server(through(store_url, proxy))
        push(server.store, 1)
        if happened:
            proxy.lose_response_to(b"COMMIT\0")
            with pytest.raises(errors.OutcomeUnknown):
                push(server.store, 2)
        else:
            proxy.lose_response_to(b"INSERT INTO version")
            with pytest.raises(errors.DatabaseFailed):
                push(server.store, 2)
        assert server.store.op("pca").versions == (2 if happened else 1)
        assert push(server.store, 2).sequence == 2
        assert push(server.store, 3).sequence == 3
        assert sequences(server.db) == [1, 2, 3]
        assert server.store.fsck(read_data=True).findings == ()


@pytest.mark.slow
def test_a_server_that_is_killed_and_restarted_costs_nothing_that_was_acknowledged(
    open_server: Callable[[str], OpStoreServer],
) -> None:
    writers, pushes, kills = 4, 6, 2
    with Postgres(durable=True) as postgres, postgres.database() as url:
        server = open_server(url)
        acknowledged: list[int] = []
        stopped = threading.Event()

        def write(first: int) -> None:
            for number in range(first, first + pushes):
                acknowledged.append(push_until_settled(server.store, number))

        def read() -> None:
            while not stopped.is_set():
                with suppress(errors.DatabaseFailed):
                    assert server.store.ops() is not None

        with ThreadPoolExecutor(writers + 1) as pool:
            reader = pool.submit(read)
            work = [pool.submit(write, 1000 * n) for n in range(writers)]
            for least in range(writers, (kills + 1) * writers, writers):
                wait_for(partial(has_at_least, acknowledged, least))
                postgres.kill()
                postgres.start()
            for each in work:
                each.result()
            stopped.set()
            reader.result()
        assert sorted(acknowledged) == list(range(1, writers * pushes + 1))
        assert sequences(server.db) == sorted(acknowledged)
        assert server.store.fsck(read_data=True).findings == ()


@pytest.mark.slow
def test_a_server_that_is_restarted_between_two_requests_costs_no_error(
    open_server: Callable[[str], OpStoreServer],
) -> None:
    with Postgres() as postgres, postgres.database() as url:
        server = open_server(url)
        push(server.store, 1)
        postgres.restart()
        assert server.store.op("pca").versions == 1
        postgres.restart()
        assert push(server.store, 2).sequence == 2


def test_a_server_that_is_away_is_an_error_until_it_is_back(
    open_server: Callable[[str], OpStoreServer], store_url: str
) -> None:
    with TcpProxy(port_of(store_url)) as proxy:
        server = open_server(through(store_url, proxy))
        proxy.go_away()
        for use in (lambda: push(server.store, 1), server.store.ops, server.store.check):
            with pytest.raises(errors.DatabaseFailed, match="connection failed"):
                use()
        proxy.come_back()
        assert push(server.store, 1).sequence == 1


@pytest.mark.slow
def test_a_standby_is_read_and_refuses_writes_until_it_is_promoted(
    open_server: Callable[[str], OpStoreServer],
) -> None:
    with Postgres() as postgres, postgres.database() as url:
        server = open_server(url)
        push(server.store, 1)
        postgres.stop()
        (postgres.folder / "data" / "standby.signal").touch()
        postgres.start()
        assert server.store.op("pca").versions == 1
        with pytest.raises(errors.DatabaseFailed, match="the database is read-only: it is a standby server"):
            push(server.store, 2)
        postgres.execute("SELECT pg_promote()")
        assert push(server.store, 2).sequence == 2


def test_a_full_disk_of_the_server_is_reported_as_one_and_leaves_nothing(
    open_server: Callable[[str], OpStoreServer], store_url: str
) -> None:
    server = open_server(store_url)
    push(server.store, 1)
    with server.db.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file \"base/1/2\": No space left on device' USING ERRCODE = '53100';"
            " END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER full_disk BEFORE INSERT ON version FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
    with pytest.raises(errors.StorageFull, match="a disk of the PostgreSQL server is full") as caught:
        push(server.store, 2)
    assert caught.value.status == 507
    assert len(list(server.store.saver)) == 1, "no bytes are left of it"
    with server.db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full_disk ON version")
    assert push(server.store, 2).sequence == 2


def test_a_pool_without_a_free_connection_is_an_error_after_a_while(store_url: str) -> None:
    with closing(Database(f"{store_url}?pool_size=2")) as database, ThreadPoolExecutor(1) as pool:
        database.create_all()
        database.engine.pool._timeout = 0.01  # type: ignore[attr-defined]
        with database.read(), database.read():
            refused = pool.submit(lambda: database.read().__enter__())
            with pytest.raises(errors.DatabaseFailed, match="no connection became available within 30 seconds"):
                refused.result()
        with database.read() as connection:
            assert connection.execute(select(func.count()).select_from(Version)).scalar_one() == 0


@pytest.mark.parametrize("writers", [8, pytest.param(64, marks=pytest.mark.slow)])
def test_writers_of_two_daemons_leave_no_gap_and_readers_never_see_one(
    open_server: Callable[[str], OpStoreServer], store_url: str, writers: int
) -> None:
    server = open_server(store_url)
    stopped = threading.Event()
    with closing(Database(store_url)) as other, ThreadPoolExecutor(writers + 1) as pool:
        stores = [server.store, Store(other, server.store.saver, owns_blobs=True)]

        def read() -> None:
            seen = 0
            while not stopped.is_set():
                with other.read() as connection:
                    last, count = connection.execute(select(func.max(Journal.position), func.count())).one()
                assert (last or 0) == count >= seen
                seen = count

        reader = pool.submit(read)
        pushed = list(pool.map(lambda number: push(stores[number % 2], number).sequence, range(writers * 3)))
        stopped.set()
        reader.result()
        assert sorted(pushed) == sequences(other) == list(range(1, writers * 3 + 1))


def test_a_number_that_no_column_holds_is_no_failure_of_the_database(
    open_server: Callable[[str], OpStoreServer], store_url: str
) -> None:
    server = open_server(store_url)
    push(server.store, 1)
    assert [version.sequence for version in server.store.versions("pca", below=10**12).versions] == [1]
    with closing(server.store.fsck_page(f"versions:{10**12}/{10**12}", FsckOptions())) as steps:
        (page,) = [found for found in steps if found is not None]
    assert page.findings == ()
    with pytest.raises(errors.InvalidRequest, match="a number is too large"), server.db.read() as connection:
        connection.execute(select(Version.id).where(Version.sequence == 10**12))
