"""Downloads past the daemon: its bytes come from the object store, and from the daemon after any failure there."""

import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transport import addresses
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from tests.support.fake_daemon import TOKEN, FakeDaemon
from tests.support.fake_object_store import SECRET, FakeObjectStore
from tests.support.figures import few
from tests.support.transfers import BYTES, outputs

DATA = BYTES[:2_100_001]
SIZE = len(DATA)


@pytest.fixture
def objects(daemon: FakeDaemon) -> Iterator[FakeObjectStore]:
    """An object store that has the bytes of the daemon's only version."""
    with FakeObjectStore(DATA) as store:
        daemon.versions.append(DATA)
        daemon.direct = store.new_url
        yield store


def daemon_bytes(daemon: FakeDaemon) -> int:
    """Return how many requests for bytes the daemon was sent."""
    return sum(line.endswith("/bytes") for line in daemon.log)


def to_bytes(client: OpStoreClient, _folder: Path) -> bytes:
    """Pull the bytes into memory."""
    return client.pull("pca")


def to_file(client: OpStoreClient, folder: Path) -> bytes:
    """Pull the bytes into a file."""
    client.pull("pca", to=folder / "out")
    assert [path.name for path in outputs(folder)] == ["out"]
    return (folder / "out").read_bytes()


def to_stream(client: OpStoreClient, _folder: Path) -> bytes:
    """Pull the bytes into a stream."""
    stream = io.BytesIO()
    client.pull("pca", to=stream)
    return stream.getvalue()


def to_ranges(client: OpStoreClient, _folder: Path) -> bytes:
    """Read the bytes in three ranges."""
    with client.start_pull("pca", resume=True) as pull:
        return b"".join(pull.read_range(*each) for each in ((0, 10), (10, 1_200_000), (1_200_000, SIZE)))


Way = Callable[[OpStoreClient, Path], bytes]
WAYS = pytest.mark.parametrize("way", [to_bytes, to_file, to_stream, to_ranges])


@WAYS
def test_all_bytes_come_past_the_daemon_by_one_request_each_and_without_the_token(
    daemon: FakeDaemon,
    client: OpStoreClient,
    objects: FakeObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Way,
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    assert way(client, tmp_path) == DATA
    assert (daemon_bytes(daemon), objects.urls) == (1, 1)
    assert len(objects.requests) == (3 if way is to_ranges else 1)
    assert objects.connections == 1
    for headers in objects.headers:
        assert {name.lower() for name in headers} <= {"host", "user-agent", "accept-encoding", "range"}
        assert TOKEN not in str(headers)


@WAYS
def test_a_lost_connection_resumes_in_the_object_store(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path, way: Way
) -> None:
    objects.faults = [3, 7] if way is to_ranges else [1_000_000, 900_000]
    assert way(client, tmp_path) == DATA
    assert daemon_bytes(daemon) == 1
    if way is not to_ranges:
        assert [asked for _, asked in objects.requests] == ["bytes=0-", "bytes=1000000-", "bytes=1900000-"]


@WAYS
def test_an_expired_url_is_replaced_by_a_new_one(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path, way: Way
) -> None:
    objects.expires_after = 1
    objects.faults = [] if way is to_ranges else [1_000_000, 403, 900_000, 403]
    assert way(client, tmp_path) == DATA
    assert {number for number, _ in objects.requests} == {1, 2, 3}
    assert daemon_bytes(daemon) == 3


@WAYS
@pytest.mark.parametrize(
    "fault",
    few(2, ["unreachable", 403, 404, 503, "http://127.0.0.1:1/elsewhere", "no ranges", "other size", "other range"]),
)
def test_after_a_failure_the_bytes_come_through_the_daemon(
    daemon: FakeDaemon,
    client: OpStoreClient,
    objects: FakeObjectStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    way: Way,
    fault: int | str,
) -> None:
    caplog.set_level(logging.DEBUG)
    if fault == "no ranges":
        objects.ranges, objects.data = False, DATA + b"!"
    elif fault == "other size":
        objects.data = DATA[:-1]
    elif fault == "other range":
        objects.claims["Content-Range"] = f"bytes 5-{SIZE - 1}/{SIZE}"
    elif fault == "unreachable":
        daemon.direct = lambda: f"http://127.0.0.1:1/bucket/object?{SECRET}"
    else:
        objects.faults = [fault]
    assert way(client, tmp_path) == DATA
    assert daemon_bytes(daemon) == (4 if way is to_ranges else 2)
    assert len(objects.requests) == (0 if fault == "unreachable" else 1)
    [line] = [each for each in caplog.messages if "comes through the daemon" in each]
    assert line.startswith("pca@1.0.0 comes through the daemon: http://127.0.0.1:")
    assert "secret" not in caplog.text
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_after_a_failure_the_daemon_is_not_asked_for_urls_for_some_minutes(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.faults = [503]
    now = [1000.0]
    monkeypatch.setattr("opstore_cli.transport.api.time.monotonic", lambda: now[0])
    for passed, urls in ((0, 1), (299, 1), (300, 2)):
        now[0] = 1000.0 + passed
        assert client.pull("pca") == DATA
        assert objects.urls == urls


@pytest.mark.parametrize("way", [to_bytes, to_file])
def test_wrong_bytes_are_pulled_again_through_the_daemon(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path, way: Way
) -> None:
    objects.data = DATA[:-1] + b"!"
    assert way(client, tmp_path) == DATA
    assert (daemon_bytes(daemon), len(objects.requests)) == (2, 1)


def test_a_stream_gets_no_last_piece_of_wrong_bytes(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore
) -> None:
    objects.data = b"!" + DATA[1:]
    stream = io.BytesIO()
    with pytest.raises(errors.DigestMismatch):
        client.pull("pca", to=stream)
    assert len(stream.getvalue()) < SIZE


def test_bytes_that_are_wrong_in_both_places_are_reported_as_damaged(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path
) -> None:
    objects.data = daemon.served = DATA[:-1] + b"!"
    for way in (to_bytes, to_file):
        with pytest.raises(errors.BlobDamaged):
            way(client, tmp_path)
    assert outputs(tmp_path) == []


def test_a_part_of_an_earlier_pull_is_continued_past_the_daemon(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path
) -> None:
    (tmp_path / f".out.{digest_of(DATA)[7:23]}.part").write_bytes(DATA[:1_300_000])
    assert to_file(client, tmp_path) == DATA
    assert objects.requests == [(1, "bytes=1300000-")]


@pytest.mark.parametrize("claim", [{"digest": digest_of(b"")}, {"size": 5}, {"digest": "sha256:"}, {"url": 5}])
def test_a_place_of_other_bytes_is_refused(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, claim: dict[str, Any]
) -> None:
    daemon.place = claim
    with pytest.raises(errors.UnexpectedResponse) as caught:
        client.pull("pca")
    assert "secret" not in f"{caught.value} {caught.value.details}"
    assert objects.requests == []


def test_a_place_that_was_not_asked_for_is_refused(client: OpStoreClient, daemon: FakeDaemon) -> None:
    client._api.direct = None
    daemon.versions.append(DATA)
    daemon.answers = [(200, routes.DIRECT_TYPE, b"{}")]
    with pytest.raises(errors.UnexpectedResponse):
        client.pull("pca")


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/bucket/object",  # without TLS
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/o",
        "https://[::ffff:169.254.169.254]/o",
        "https://[64:ff9b::a9fe:a9fe]/o",
        "https://[2002:a9fe:a9fe::]/o",
        "https://[fd00:ec2::254]/o",
        "https://168.63.129.16/o",
        "https://0.0.0.0/o",
        "https://224.0.0.1/o",
        "https://user:password@example.com/o",
        "https://example.com/o#fragment",
        "https://example.com:0/o",
        "https://example.com/\n",
        "file:///etc/passwd",
        "https:///o",
    ],
)
def test_no_connection_is_made_to_a_url_that_no_daemon_may_name(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    daemon.versions.append(DATA)
    daemon.direct = lambda: url

    def refuse(*_: object, **_options: object) -> None:
        raise AssertionError("a connection to the URL")

    monkeypatch.setattr("opstore_cli.transport.direct._Adapter.send", refuse)
    if url.startswith("file:"):
        with pytest.raises(errors.UnexpectedResponse):
            client.pull("pca")
    else:
        assert client.pull("pca") == DATA


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (["10.1.2.3"], True),
        (["2001:db8::1", "10.1.2.3"], True),
        (["10.1.2.3", "169.254.169.254"], False),
        (["127.0.0.1"], False),
        (["::1"], False),
        (["fe80::1%eth0"], False),
    ],
)
def test_the_addresses_of_a_name_are_checked_when_it_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, found: list[str], fits: bool
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (each, 443)) for each in found])
    if fits:
        assert addresses.resolve("objects.example.com", 443, loopback=False) == found
    else:
        with pytest.raises(addresses.AddressRefused):
            addresses.resolve("objects.example.com", 443, loopback=False)


def test_a_name_of_another_machine_is_not_connected_to_without_tls(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.direct = lambda: objects.new_url().replace("127.0.0.1", "localhost")
    elsewhere = SimpleNamespace(getaddrinfo=lambda *_, **__: [(2, 1, 6, "", ("10.1.2.3", 80))], SOCK_STREAM=1)
    monkeypatch.setattr(addresses, "socket", elsewhere)
    assert client.pull("pca") == DATA
    assert objects.requests == []


def test_a_forked_process_reads_ranges_over_a_connection_of_its_own(
    client: OpStoreClient, objects: FakeObjectStore
) -> None:
    with client.start_pull("pca", resume=True) as pull:
        assert pull.read_range(0, 2_000_000) == DATA[:2_000_000]
        pid = os.fork()
        if pid == 0:
            same = pull.read_range(100, 2_000) == DATA[100:2_000]
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert pull.read_range(5, 50) == DATA[5:50]
    assert objects.connections == 2
