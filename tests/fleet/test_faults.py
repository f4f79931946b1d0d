"""PostgreSQL ends, the object store refuses and dawdles, clocks are hours apart: errors of ours, and no loss."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from tests.support.fault_proxy import INTERNAL_ERROR, SLOW_DOWN, Fault, HttpProxy, TcpProxy, share
from tests.support.figures import figures
from tests.support.fleet import Fleet, in_threads
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.object_store import Bucket, ObjectStore
    from tests.support.postgres import Postgres

MIB = 1024 * 1024


class Pusher:
    """A client that pushes until it is told to stop, and keeps what was acknowledged and what it was told otherwise."""

    def __init__(self, fleet: Fleet, url: str, number: int) -> None:
        self._fleet, self._url, self._number = fleet, url, number
        self.acknowledged: dict[str, str] = {}
        self.refused: list[errors.OpStoreError] = []
        self.failures: list[BaseException] = []
        self.ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self._fleet.client(self._url, f"pusher-{self._number}") as client:
                for count in range(100_000):
                    if self.ends.is_set():
                        return
                    data = b"%d %d" % (self._number, count)
                    try:
                        self.acknowledged[client.push(f"op-{self._number}", data).version] = digest_of(data)
                    except errors.OpStoreError as error:
                        self.refused.append(error)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.failures.append(error)

    def __enter__(self) -> "Pusher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self._thread.join()

    def check(self, client: OpStoreClient) -> None:
        """Check that all is there that was acknowledged, and that the client met errors of ours only."""
        assert self.failures == []
        assert {type(error) for error in self.refused} <= {
            errors.DatabaseFailed,
            errors.OutcomeUnknown,
            errors.Unreachable,
            errors.ConnectionLost,
        }, self.refused
        versions = client.versions(f"op-{self._number}")
        assert [version.sequence for version in versions] == list(range(len(versions), 0, -1))
        found = {version.version: version.digest for version in versions}
        assert self.acknowledged.items() <= found.items()


@contextmanager
def behind_proxies(
    folder: Path, postgres: "Postgres", bucket: "Bucket", objects: HttpProxy | None = None, count: int = 2
) -> Iterator[tuple[Fleet, TcpProxy]]:
    """Run daemons that reach the database, and the object store if `objects` is given, through proxies."""
    with ExitStack() as stack:
        url = stack.enter_context(postgres.store_database())
        database = stack.enter_context(TcpProxy(postgres.port))
        place = bucket if objects is None else bucket.at(objects.url)
        through = url.replace(f":{postgres.port}/", f":{database.port}/")
        fleet = Fleet(folder / "fleet", (through, bucket.url), place.environ, count)
        yield stack.enter_context(fleet), database


@pytest.mark.slow
@pytest.mark.parametrize("times", figures(2, 1))
def test_a_database_that_goes_away_and_comes_back(
    tmp_path: Path, postgres: "Postgres", bucket: "Bucket", times: int
) -> None:
    with behind_proxies(tmp_path, postgres, bucket) as (fleet, database), fleet.by_connection() as balancer:
        ready = [Http(fleet.daemon(place).url, fleet.token) for place in range(fleet.count)]
        with Pusher(fleet, balancer.url, 0) as first, Pusher(fleet, balancer.url, 1) as second:
            for _ in range(times):
                wait_for(lambda: min(len(first.acknowledged), len(second.acknowledged)) >= 3, "some pushes")
                database.go_away()
                assert [http.get(routes.READY).status_code for http in ready] == [503] * fleet.count
                assert [http.get(routes.HEALTH).status_code for http in ready] == [200] * fleet.count
                database.come_back()
                wait_for(lambda: {http.get(routes.READY).status_code for http in ready} == {200}, "its return")
                for each in (first, second):
                    each.acknowledged, kept = {}, each.acknowledged
                    wait_for(lambda: len(each.acknowledged) >= 3, "pushes after it came back")  # noqa: B023
                    each.acknowledged |= kept
        with fleet.client(balancer.url) as client:
            first.check(client)
            second.check(client)
        for http in ready:
            http.close()


@pytest.mark.slow
def test_daemons_that_are_replaced_one_after_the_other(tmp_path: Path, postgres: "Postgres", bucket: "Bucket") -> None:
    """As an upgrade does it: SIGTERM, the end of running requests, and a new daemon, while clients push."""
    with behind_proxies(tmp_path, postgres, bucket) as (fleet, _), fleet.by_connection() as balancer:
        with Pusher(fleet, balancer.url, 0) as first, Pusher(fleet, balancer.url, 1) as second:
            for place in range(fleet.count):
                before = [len(each.acknowledged) for each in (first, second)]
                assert fleet.daemon(place).stop() == 0
                fleet.start(place)
                wait_for(
                    lambda: all(
                        len(each.acknowledged) > count + 2
                        for each, count in zip((first, second), before, strict=True)  # noqa: B023
                    ),
                    "pushes",
                )
        with fleet.client(balancer.url) as client:
            for each in (first, second):
                each.check(client)
                assert each.refused == [], "no client has seen an error"


@pytest.mark.slow
def test_a_postgresql_server_that_is_stopped_and_killed(tmp_path: Path, object_store: "ObjectStore") -> None:
    from tests.support.postgres import Postgres

    with ExitStack() as servers:
        postgres = servers.enter_context(Postgres(durable=True))
        bucket = servers.enter_context(object_store.fresh_prefix())
        url = servers.enter_context(postgres.store_database())
        with Fleet(tmp_path / "fleet", (url, bucket.url), bucket.environ) as fleet:
            with fleet.by_connection() as balancer, ExitStack() as stack:
                pushers = [stack.enter_context(Pusher(fleet, balancer.url, number)) for number in range(4)]
                for end in (postgres.stop, postgres.kill, postgres.stop):
                    wait_for(lambda: min(len(each.acknowledged) for each in pushers) >= 5, "some pushes")
                    end()
                    postgres.start()
                    before = [len(each.acknowledged) for each in pushers]
                    wait_for(
                        lambda: all(
                            len(each.acknowledged) > count + 4
                            for each, count in zip(pushers, before, strict=True)  # noqa: B023
                        ),
                        "pushes after its start",
                    )
            with fleet.client(fleet.daemon(0).url) as client:
                for each in pushers:
                    each.check(client)
                assert client.fsck(read_data=True).clean


@pytest.mark.slow
@pytest.mark.timeout(1800)  # of the full figure
@pytest.mark.parametrize("pushes", figures(400, 8))
def test_an_object_store_that_refuses_and_dawdles(
    tmp_path: Path, postgres: "Postgres", object_store: "ObjectStore", bucket: "Bucket", pushes: int
) -> None:
    """It refuses one request in ten, and takes two seconds for others."""
    slow = Fault("delay", seconds=2.0 if pushes > 100 else 0.2)
    clients = 4
    with (
        HttpProxy(object_store.port, share(0.1, pushes, SLOW_DOWN, INTERNAL_ERROR)) as objects,
        behind_proxies(tmp_path, postgres, bucket, objects) as (fleet, _),
        fleet.by_request() as balancer,
    ):

        def push(client: OpStoreClient, number: int) -> dict[str, str]:
            made: dict[str, str] = {}
            for count in range(pushes // clients):
                data = random_bytes(1000, seed=1000 * number + count)
                made[client.push(f"op-{number}", data).version] = digest_of(data)
            if number == 0:
                data = random_bytes(9 * MIB)
                made[client.push("op-0", data).version] = digest_of(data)
            return made

        refused = in_threads(fleet, balancer.url, clients, push)
        objects.fault_for = share(0.3, pushes, slow, SLOW_DOWN)
        dawdled = in_threads(fleet, balancer.url, clients, lambda client, number: push(client, number + clients))
        assert objects.happened["refuse"] > 0
        assert objects.happened["delay"] > 0
        objects.fault_for = lambda _: None
        with fleet.client(balancer.url) as client:
            for number, made in enumerate([*refused, *dawdled]):
                found = {version.version: version.digest for version in client.versions(f"op-{number}")}
                assert found == made
                for version, digest in list(made.items())[-3:]:
                    assert digest_of(client.pull(f"op-{number}@{version}")) == digest
            assert client.fsck(read_data=True).clean


class Clock:
    """A clock that is wrong by some time."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._by


@pytest.mark.slow
def test_daemons_whose_clocks_are_hours_apart(
    store_url: str, bucket: "Bucket", monkeypatch: pytest.MonkeyPatch
) -> None:
    from opstore_daemon.savers import S3Saver

    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    stored: dict[str, bytes] = {}
    with ExitStack() as stack:
        clocks = [Clock(timedelta(hours=hours)) for hours in (0, 5, -7)]
        stores = [
            stack.enter_context(closing(OpStoreServer(S3Saver(bucket.url), store_url, clock=clock))).store
            for clock in clocks
        ]
        for number in range(9):
            store = stores[number % 3]
            data = b"%d" % (number // 2)  # the same bytes from two daemons
            stored[store.push("pca", data, new=True).version] = data
            if number % 4 == 3:
                gone = min(stored)
                stores[(number + 1) % 3].remove(f"pca@{gone}")
                del stored[gone]
            if number % 2:
                assert stores[(number + 2) % 3].collect_garbage(grace=0 if number % 4 == 1 else 3600).problems == ()
        for version, data in stored.items():
            assert [store.pull(f"pca@{version}") for store in stores] == [data] * 3
        assert [entry.position for entry in stores[0].log()] == list(range(len(stores[0].log()), 0, -1))
        assert stores[1].fsck(read_data=True).clean


def test_a_daemon_without_a_database_ends_with_an_error_of_ours(tmp_path: Path, bucket: "Bucket") -> None:
    from tests.support.daemon import run
    from tests.support.wire import refusing_port

    url = f"postgresql+psycopg://somebody:secret-word@127.0.0.1:{refusing_port()}/nothing"
    ended = run(tmp_path / "home", "serve", "--db", url, "--saver", bucket.url, **bucket.environ)
    assert (ended.returncode, ended.stdout) == (9, "")
    assert "error: the database failed" in ended.stderr
    assert "secret-word" not in ended.stderr + (tmp_path / "home" / "daemon.log").read_text()
