"""Two daemons of one store, one pushing and one collecting, in each order: no version is ever without its bytes."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.conformance.common import all_at_once
from tests.support.daemons import daemons, servers_of
from tests.support.figures import few
from tests.support.garbage import orphan, remove
from tests.support.object_store import Bucket
from tests.support.shared_saver import SharedStore

DATA = b"the bytes that two daemons care about"
Servers = list[OpStoreServer]


@pytest.fixture
def shared() -> SharedStore:
    return SharedStore()


@pytest.fixture
def servers(tmp_path: Path, shared: SharedStore) -> Iterator[Servers]:
    with daemons(tmp_path, shared) as opened:
        yield opened


class Beside:
    """Does something in another thread at one step of this one, which goes on once that is done, or has to wait."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._do()
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self._raised.append(error)

    def begin(self, *, is_locked: bool) -> None:
        """Start; return when it has ended, or soon if this thread holds the lock that it needs."""
        self._thread.start()
        self._thread.join(0.05 if is_locked else 60)
        assert is_locked or not self._thread.is_alive()

    def end(self) -> None:
        """Wait for its end, if it has begun."""
        if self._thread.ident is not None:
            self._thread.join(60)
        assert not self._thread.is_alive()
        assert self._raised == []


def collect(server: OpStoreServer) -> int:
    """Collect without any grace, and purge; return how many blobs were garbage."""
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert collected.problems == ()
    return collected.garbage


def prepare(servers: Servers, before: str) -> None:
    """Have the bytes in the store before: never, as garbage, or as those of a version that was removed."""
    if before == "garbage":
        orphan(servers[0], DATA)
    elif before == "removed":
        servers[0].store.push("old", DATA)
        remove(servers[0], "old")


@pytest.mark.parametrize("before", few(1, ["never", "garbage", "removed"]))
@pytest.mark.parametrize("way", ["small", "upload"])
@pytest.mark.parametrize("step", range(8))
def test_a_daemon_that_collects_at_any_step_of_a_push_of_another_takes_no_bytes_from_it(
    servers: Servers, shared: SharedStore, before: str, way: str, step: int
) -> None:
    prepare(servers, before)
    seen: list[str] = []
    beside = Beside(lambda: collect(servers[1]))

    def at(kind: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        seen.append(kind)
        if len(seen) == step + 1:
            beside.begin(is_locked=kind == "contains")

    shared.before = at
    source = DATA if way == "small" else io.BytesIO(DATA)
    pushed = servers[0].store.push("pca", source)
    beside.end()
    shared.before = lambda _: None
    if len(seen) <= step:
        return  # the push has fewer steps
    for server in servers:
        assert server.store.pull(f"pca@{pushed.version}") == DATA
        assert collect(server) == 0
        assert digest_of(DATA) in server.store.saver


@pytest.mark.parametrize("before", ["garbage", "removed"])
@pytest.mark.parametrize("way", few(1, ["small", "upload"]))
def test_a_push_that_begins_while_another_daemon_moves_its_bytes_to_the_trash_stores_them_again(
    servers: Servers, shared: SharedStore, before: str, way: str
) -> None:
    prepare(servers, before)
    source = DATA if way == "small" else io.BytesIO(DATA)
    beside = Beside(lambda: servers[1].store.push("pca", source))

    def at(kind: str) -> None:
        if kind == "trash" and threading.current_thread() is threading.main_thread():
            beside.begin(is_locked=True)

    shared.before = at
    assert servers[0].store.collect_garbage(grace=0, purge=True).garbage == 1
    beside.end()
    shared.before = lambda _: None
    assert servers[0].store.pull("pca") == DATA
    assert collect(servers[1]) == 0
    assert servers[1].store.pull("pca") == DATA


def test_a_refused_push_takes_no_bytes_from_a_push_of_the_same_bytes_at_another_daemon(
    servers: Servers, shared: SharedStore
) -> None:
    """The refused one cleans up while the other one has published and not committed: it publishes again."""

    def refused() -> None:
        with pytest.raises(errors.OpNotFound):
            servers[1].store.push("lda", DATA, valid_for=["nowhere"])

    beside = Beside(refused)
    puts = [0]

    def at(kind: str) -> None:
        if threading.current_thread() is threading.main_thread() and kind == "put":
            puts[0] += 1
        if threading.current_thread() is threading.main_thread() and kind == "contains" and puts == [1]:
            puts[0] += 1
            beside.begin(is_locked=True)

    shared.before = at
    servers[0].store.push("pca", DATA)
    beside.end()
    shared.before = lambda _: None
    assert servers[1].store.pull("pca") == DATA


@pytest.fixture
def on_s3(bucket: Bucket, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Two daemons with PostgreSQL and a real object store."""
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    with servers_of([S3Saver(bucket.url) for _ in range(2)], store_url) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("kind", few(1, ["servers", "on_s3"]))
def test_two_daemons_that_push_remove_and_collect_the_same_bytes_lose_nothing(
    request: pytest.FixtureRequest, kind: str
) -> None:
    servers: Servers = request.getfixturevalue(kind)
    contents, done = [b"%d" % number for number in range(3)], threading.Event()

    def push(server: OpStoreServer, op: str) -> None:
        for number in range(12 if kind == "servers" else 4):
            data = contents[number % 3]
            server.store.push(op, data if number % 2 else io.BytesIO(data), new=True)
            assert server.store.pull(op) == data
            remove(server, op)

    def push_all() -> None:
        try:
            assert all_at_once([lambda: push(servers[0], "pca"), lambda: push(servers[1], "lda")]) == []
        finally:
            done.set()

    def collecting(server: OpStoreServer) -> None:
        while not done.is_set():
            with suppress(errors.CollectionHeld):  # by the other daemon, which is in the same process here
                problems = server.store.collect_garbage(grace=0, purge=True).problems
                assert [each for each in problems if "nothing is collected now" not in each] == []

    jobs: list[Callable[[], object]] = [push_all, partial(collecting, servers[0]), partial(collecting, servers[1])]
    assert all_at_once(jobs) == []
    for data in contents:
        pushed = servers[0].store.push("forest", data, new=True)
        assert servers[1].store.pull(f"forest@{pushed.version}") == data
    collect(servers[0])
    assert set(servers[1].store.saver) == {digest_of(data) for data in contents}
