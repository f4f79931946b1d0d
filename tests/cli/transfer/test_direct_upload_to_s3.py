"""Pushes past the daemon, to a real object store behind a proxy that fails, and to a real daemon."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.console.session import Session
from opstore_cli.main import main
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_cli.transport import adapter
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.direct import DirectConnections
from opstore_daemon.protocol import errors, limits
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.object_store import parts
from opstore_daemon.store.ingest import open_upload
from tests.support.balanced_client import BalancedClient
from tests.support.daemons import Fleet, servers_of
from tests.support.fault_proxy import Fault, HttpProxy, Policy, every, first
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN
from tests.support.transfers import source_file, state_files

PART = 5 * 1024 * 1024  # the smallest that S3 takes
DATA = random_bytes(2 * PART + 12345)
PARTS = 3
REFUSED = Fault("refuse", status="403 Forbidden", code="AccessDenied")


class Setup:
    """Daemons whose object store clients reach through `proxy`, a client of the first, and what it sends to daemons.

    The daemons reach it through `inner`.
    """

    def __init__(self, fleet: Fleet, savers: list[S3Saver], proxy: HttpProxy, inner: HttpProxy, home: Path) -> None:
        self.fleet, self.savers, self.proxy, self.inner, self.home = fleet, savers, proxy, inner, home
        self.client = self.new_client()
        self.appended: list[int] = []  # the offset of each append

    def new_client(self, progress: Callable[[int, int | None], None] | bool = False) -> OpStoreClient:
        settings = Settings(home=self.home).with_url(self.fleet.urls[0])
        return OpStoreClient(settings=settings, token=ADMIN_TOKEN, progress=progress)

    @property
    def puts(self) -> int:
        """How many parts were sent past the daemons."""
        return sum(request.method == "PUT" for request in self.proxy.requests)


@pytest.fixture
def setup(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_waits: None) -> Iterator[Setup]:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(open_upload, "DIRECT_FROM", 1)
    monkeypatch.setattr(parts, "PART", PART)
    with ExitStack() as held:
        proxy = held.enter_context(HttpProxy(int(bucket.endpoint.rpartition(":")[2])))
        inner = held.enter_context(HttpProxy(int(bucket.endpoint.rpartition(":")[2])))
        savers = [S3Saver(bucket.url, endpoint=inner.url, direct=proxy.url) for _ in range(2)]
        servers = held.enter_context(servers_of(savers, f"sqlite:///{tmp_path / 'opstore.db'}"))
        made = Setup(held.enter_context(Fleet(servers)), savers, proxy, inner, tmp_path / "home")
        append = ApiClient.append

        def counted(api: ApiClient, upload: str, offset: int, body: object) -> object:
            made.appended.append(offset)
            return append(api, upload, offset, body)  # type: ignore[arg-type]

        monkeypatch.setattr(ApiClient, "append", counted)
        held.enter_context(closing(made.client))
        yield made


def test_the_bytes_of_a_push_go_to_the_object_store_and_none_to_the_daemon(setup: Setup, tmp_path: Path) -> None:
    sent = Requests(setup.savers[0])
    pushed = setup.client.push("pca", source_file(tmp_path, DATA))
    assert (pushed.digest, setup.puts, setup.appended) == (digest_of(DATA), PARTS, [])
    assert sent.sent < 10_000, "the daemon passed no byte on"
    assert {request.method for request in setup.proxy.requests} == {"PUT"}
    assert not any(ADMIN_TOKEN.encode() in request.head or b"ookie" in request.head for request in setup.proxy.requests)
    setup.client.pull("pca", tmp_path / "pulled")
    assert (tmp_path / "pulled").read_bytes() == DATA


def from_the_second(fault: Fault) -> Policy:
    """Return a policy: the fault happens to all parts but the first."""
    return lambda request: fault if request.method == "PUT" and "partNumber=1&" not in request.line else None


@pytest.mark.slow
def test_a_push_succeeds_whatever_the_object_store_does(setup: Setup, tmp_path: Path) -> None:
    for number, (policy, at_most, offsets) in enumerate(
        [
            (first(1, Fault("cut the request", at=3_000_000), "PUT"), PARTS + 1, []),
            (first(1, Fault("lose the response"), "PUT"), PARTS + 1, []),
            (from_the_second(REFUSED), 2 * PARTS - 1, [PART]),
        ]
    ):
        setup.proxy.fault_for = policy
        setup.proxy.requests.clear()
        setup.appended.clear()
        data = DATA + bytes([number])
        pushed = setup.client.push("pca", source_file(tmp_path, data))
        assert (pushed.digest, setup.appended) == (digest_of(data), offsets), number
        assert setup.puts <= at_most, number


@pytest.mark.slow
def test_if_the_daemon_may_not_list_parts_it_receives_the_bytes_itself(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MAX_RETRY_AFTER", 0.0)
    setup.inner.fault_for = every(1, REFUSED, "GET .*uploadId=")
    assert setup.client.push("pca", source_file(tmp_path, DATA)).digest == digest_of(DATA)
    assert setup.appended == [0]


@pytest.mark.slow
def test_v_says_why_a_push_goes_through_the_daemon(
    setup: Setup, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.proxy.go_away()
    monkeypatch.setenv("OPSTORE_HOME", str(setup.home))
    monkeypatch.setenv("OPSTORE_TOKEN", ADMIN_TOKEN)
    path = source_file(tmp_path, DATA)
    assert main(["--url", setup.fleet.urls[0], "-v", "push", "pca", str(path)], Session()) == 0
    note = f"pca goes through the daemon: {setup.proxy.url}: connection refused\n"
    assert note in capsys.readouterr().err
    assert setup.appended == [0]
    setup.proxy.come_back()


@pytest.mark.slow
def test_each_page_may_meet_another_daemon_and_one_that_is_killed_costs_nothing_that_it_recorded(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_DIRECT_PARTS", 1)
    with closing(BalancedClient(setup.fleet.urls)) as client:
        client._api.direct = setup.client._http.direct
        reports = 0

        def before(_at: int, request: str) -> None:
            nonlocal reports
            if request.endswith("/parts"):
                reports += 1
                if reports < PARTS:
                    setup.fleet.kill(client.sent[-2][0])

        client.before = before
        pushed = client.push("pca", source_file(tmp_path, DATA))
        assert (pushed.digest, setup.puts, setup.appended) == (digest_of(DATA), PARTS, [])
        assert setup.fleet.kills == PARTS - 1


@pytest.mark.slow
def test_after_ctrl_c_a_later_push_continues_behind_the_parts_that_arrived(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_DIRECT_PARTS", 2)
    path = source_file(tmp_path, DATA)

    def interrupt(done: int, _all: int | None) -> None:
        if done >= 2 * PART:
            raise KeyboardInterrupt

    with closing(setup.new_client(interrupt)) as client, pytest.raises(InterruptedTransfer):
        client.push("pca", path)
    assert len(state_files(setup.home)) == 1
    setup.proxy.requests.clear()
    pushed = setup.client.push("pca", path)
    assert (pushed.digest, setup.puts, setup.appended) == (digest_of(DATA), 1, [])
    assert state_files(setup.home) == []


@contextmanager
def changing(client: OpStoreClient, change: Callable[[], None]) -> Iterator[None]:
    """Change something after the parts of a push are hashed and have URLs, before any of them is sent."""
    direct = client._http.direct

    def changed(url: str) -> DirectConnections:
        change()
        return direct(url)

    client._api.direct = changed
    yield
    client._api.direct = direct


@pytest.mark.slow
def test_a_file_that_changes_unnoticed_while_it_is_pushed_becomes_no_version(setup: Setup, tmp_path: Path) -> None:
    path = source_file(tmp_path, DATA)
    state = path.stat()

    def change() -> None:
        path.write_bytes(DATA[:-1] + b"!")
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    with changing(setup.client, change), pytest.raises(errors.ChecksumMismatch):
        setup.client.push("pca", path)
    assert setup.client.ops() == []
    assert setup.appended == [2 * PART], "the object store has refused the last part"
