"""Uploads past the daemon: their bytes go to the object store, and to the daemon after any failure there."""

import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer import direct_upload, threads
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_daemon.protocol import errors, limits
from opstore_daemon.protocol.digests import digest_of
from tests.support.fake_daemon import TOKEN, FakeDaemon
from tests.support.fake_object_store import SECRET, FakeObjectStore
from tests.support.figures import few
from tests.support.for_each import for_each
from tests.support.transfers import BYTES, count_requests, source_file, state_files
from tests.support.waiting import wait_for

DATA = BYTES[:2_100_001]
PART = 300_000
PARTS = 8
PARALLEL = 4


@pytest.fixture
def objects(daemon: FakeDaemon) -> Iterator[FakeObjectStore]:
    """An object store that receives the parts of the daemon's uploads."""
    with FakeObjectStore(b"") as store:
        daemon.part_size, daemon.part_url, daemon.arrived = PART, store.new_part_url, store.part
        yield store


def through_daemon(daemon: FakeDaemon) -> int:
    """Return how many requests with bytes the daemon was sent."""
    return count_requests(daemon, "PATCH")


def test_all_bytes_go_past_the_daemon_once_and_without_the_token(
    daemon: FakeDaemon,
    client: OpStoreClient,
    objects: FakeObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client.push("pca", source_file(tmp_path, DATA))
    assert daemon.versions == [DATA]
    assert sorted(objects.puts) == list(range(1, PARTS + 1))
    assert (objects.received, objects.connections) == (len(DATA), PARALLEL)
    assert (daemon.reported, through_daemon(daemon)) == ([(0, PARTS)], 0)
    assert daemon.declared == [{"size", "checksum"}]
    for headers in objects.headers:
        names = {name.lower() for name in headers}
        assert names == {"host", "user-agent", "accept-encoding", "content-length", "x-amz-checksum-sha256"}
        assert TOKEN not in str(headers)


@for_each("kind", ["bytes in memory", "a file object", "a folder"])
def test_every_source_that_can_be_read_at_any_offset_goes_past_the_daemon(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path, kind: str
) -> None:
    source: Any = io.BytesIO(b"x" + DATA) if kind == "a file object" else DATA
    if kind == "a file object":
        source.seek(1)
    if kind == "a folder":
        source = tmp_path / "folder"
        source.mkdir()
        for number in range(3):
            (source / str(number)).write_bytes(DATA[number * 700_000 : (number + 1) * 700_000])
    pushed = client.push("pca", source)
    data = daemon.versions.pop()
    assert (digest_of(data), objects.received, through_daemon(daemon)) == (pushed.digest, len(data), 0)
    assert kind == "a folder" or data == DATA
    objects.received = 0


def test_only_a_client_that_may_goes_past_the_daemon_and_no_stream_does(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path
) -> None:
    read, write = os.pipe()
    os.write(write, DATA[:60_000])
    os.close(write)
    with open(read, "rb", buffering=0) as stream:
        client.push("pca", stream)
    client._api.direct = None
    client.push("pca", source_file(tmp_path, DATA))
    assert (daemon.versions, objects.puts, objects.urls) == ([DATA[:60_000], DATA], [], 0)


@pytest.mark.slow
def test_many_parts_are_sent_in_pages(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_DIRECT_PARTS", 3)
    client.push("pca", DATA)
    assert daemon.versions == [DATA]
    assert daemon.reported == [(0, 3), (3 * PART, 3), (6 * PART, 2)]
    assert objects.connections <= 3, "the next page uses them again"
    monkeypatch.setattr(limits, "MAX_DIRECT_PARTS", 32)
    monkeypatch.setattr(direct_upload, "PAGE", 5 * PART)
    client.push("pca", DATA + b"x")
    daemon.part_size = 2 * PART
    client.push("pca", BYTES[: 12 * PART + 5])
    assert daemon.reported[3:] == [(0, 5), (5 * PART, 3), (0, PARALLEL), (PARALLEL * 2 * PART, 3)]


def test_a_lost_connection_costs_at_most_its_own_part(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore
) -> None:
    objects.part_faults = {2: [0], 5: [200_000, 299_999], 6: [503, 500, 429], 8: [1]}
    client.push("pca", DATA)
    assert daemon.versions == [DATA]
    assert sorted(objects.puts) == sorted([*range(1, 9), 2, 5, 5, 6, 6, 6, 8])
    assert (daemon.reported, through_daemon(daemon)) == ([(0, PARTS)], 0)


def test_an_expired_url_is_replaced_and_nothing_that_arrived_is_sent_again(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore
) -> None:
    objects.part_faults = {3: [403], 7: [400]}
    client.push("pca", DATA)
    assert daemon.versions == [DATA]
    assert sorted(objects.puts) == sorted([*range(1, 9), 3, 7])
    assert (daemon.reported, through_daemon(daemon)) == ([(0, PARTS)], 0)
    assert objects.urls in (2 * PARTS, 3 * PARTS), "each time for the whole page; both may be refused at the same time"


def test_a_part_that_is_refused_twice_goes_through_the_daemon(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore
) -> None:
    objects.part_faults = {4: [403] * 9}
    client.push("pca", DATA)
    assert daemon.versions == [DATA]
    assert (objects.puts.count(4), daemon.reported, through_daemon(daemon)) == (2, [(0, 3)], 1)


@pytest.mark.slow
def test_a_daemon_that_still_verifies_is_asked_again_as_long_as_it_reads_on(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path
) -> None:
    daemon.verified = [*range(1, 50), *[0] * 5]
    client.push("pca", source_file(tmp_path, DATA))
    assert (daemon.versions, daemon.verified) == ([DATA], [])
    daemon.verified, path = [7] * 99, source_file(tmp_path)
    with pytest.raises(errors.NotVerified, match="has read 7 of"):
        client.push("pca", path)
    [state] = state_files(tmp_path / "home")
    daemon.verified = [8]
    objects.puts.clear()
    client.push("pca", path)
    assert (daemon.versions[1:], objects.puts, state.exists()) == ([BYTES], [], False)


Break = Callable[[FakeDaemon, FakeObjectStore], None]


def first_part(*faults: int | str) -> Break:
    """Return what makes the requests for the first parts fail."""

    def apply(_daemon: FakeDaemon, objects: FakeObjectStore) -> None:
        objects.part_faults = {number: list(faults) for number in range(1, PARALLEL + 1)}

    return apply


def urls(make: Callable[[FakeObjectStore, int], str]) -> Break:
    """Return what makes the daemon name these URLs."""

    def apply(daemon: FakeDaemon, objects: FakeObjectStore) -> None:
        daemon.part_url = lambda number: make(objects, number)

    return apply


def no_etag(_daemon: FakeDaemon, objects: FakeObjectStore) -> None:
    """Answer without an ETag that may be passed on."""
    objects.claims["ETag"] = "with a blank"


BROKEN: dict[str, Break] = {
    "403": first_part(403),
    "404": first_part(404),
    "redirect": first_part("http://127.0.0.1:1/elsewhere"),
    "busy": first_part(503, 503),
    "lost": first_part(5, 5),
    "no ETag": no_etag,
    "unreachable": urls(lambda _, number: f"http://127.0.0.1:1/o?{SECRET}&uploadId=u&partNumber={number}"),
    "not signed": urls(lambda objects, number: objects.new_part_url(number).replace("X-Amz-Signature", "Signed")),
    "not a part": urls(lambda objects, number: f"{objects.new_url()}&partNumber={number}"),
}


@for_each("name", list(BROKEN))
def test_if_the_first_part_fails_all_bytes_go_through_the_daemon(
    daemon: FakeDaemon,
    client: OpStoreClient,
    objects: FakeObjectStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    client._api._direct_from = 0.0
    objects.claims.clear()
    objects.puts.clear()
    daemon.part_url, daemon.reported = objects.new_part_url, []
    before = through_daemon(daemon)
    BROKEN[name](daemon, objects)
    client.push("pca", source_file(tmp_path, DATA))
    assert daemon.versions.pop() == DATA
    assert (through_daemon(daemon) - before, daemon.reported) == (1, [])
    assert (len(objects.puts) > 0) == (not name.startswith(("not", "unreachable")))
    assert len(objects.puts) <= (2 * PARALLEL if name in ("busy", "lost") else PARALLEL)
    [line] = [each for each in caplog.messages if "through the daemon" in each]
    assert line.startswith("pca goes through the daemon: http://127.0.0.1:")
    assert "secret" not in caplog.text
    assert not client._api.may_be_direct, "it is not tried again for some minutes"


def test_what_arrived_before_a_part_that_can_not_be_sent_is_kept_and_the_daemon_receives_the_rest(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    objects.part_faults = {6: [404]}
    client.push("pca", DATA)
    assert daemon.versions == [DATA]
    assert (daemon.reported, through_daemon(daemon)) == ([(0, 5)], 1)
    assert daemon.headers[-2]["Upload-Offset"] == str(5 * PART)
    assert "pca goes through the daemon" in caplog.text
    assert client._api.may_be_direct, "it has worked"
    objects.part_faults, objects.puts = {6: [0] * 9}, []
    client.push("pca", DATA + b"x")
    assert objects.puts.count(6) == 6, "the retries of one part are limited"
    assert daemon.reported[1:] == [(0, 5)]


def test_no_byte_goes_through_the_daemon_while_a_part_is_on_its_way(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.part_faults = {1: ["hang"], 2: [404]}
    append, seen = client._api.append, []

    def appended(*arguments: Any) -> Any:
        seen.append(objects.let_go.is_set())
        return append(*arguments)

    monkeypatch.setattr(client._api, "append", appended)

    def let_go() -> None:
        wait_for(lambda: 2 in objects.puts)
        objects.let_go.set()

    threading.Thread(target=let_go).start()
    client.push("pca", DATA)
    assert (seen, daemon.versions) == ([True], [DATA])


Answer = tuple[int, str]


@for_each(
    ("route", "answer", "counts"),
    [
        ("urls", (404, "RouteNotFound"), (0, 1)),
        ("urls", (405, "MethodNotAllowed"), (0, 1)),
        ("urls", (409, "KeyReused"), (0, 1)),
        ("parts", (404, "RouteNotFound"), (PARTS, 1)),
        ("parts", (400, "InvalidRequest"), (PARTS, 1)),
    ],
)
def test_a_daemon_that_can_not_do_it_receives_the_bytes(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, route: str, answer: Answer, counts: Any
) -> None:
    daemon.refusals = {route: answer}
    objects.puts.clear()
    client._api._direct_from = 0.0
    before = through_daemon(daemon)
    client.push("pca", DATA)
    assert daemon.versions.pop() == DATA
    assert (len(objects.puts), through_daemon(daemon) - before) == counts


@pytest.mark.slow
def test_a_daemon_whose_offsets_never_fit_is_not_asked_for_ever(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore
) -> None:
    def forget(number: int) -> str:
        if number == PARTS:
            daemon.uploads["u1"][:] = b"" if daemon.uploads["u1"] else b"x" * PART
        return objects.new_part_url(number)

    daemon.part_url = forget
    with pytest.raises(errors.OffsetMismatch):
        client.push("pca", DATA)
    assert count_requests(daemon, "POST /v1/uploads/u1/parts/urls") < 20


def test_a_part_that_the_object_store_has_lost_is_sent_through_the_daemon_with_all_behind_it(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore
) -> None:
    daemon.arrived = lambda number, etag: None if number == 3 else objects.part(number, etag)
    client.push("pca", DATA)
    assert (daemon.versions, through_daemon(daemon)) == ([DATA], 1)
    assert daemon.headers[-2]["Upload-Offset"] == str(2 * PART)


@for_each(
    "claim",
    [{"urls": []}, {"urls": ["https://example.com/x"] * 9}, {"urls": [5] * PARTS}, {"urls": ["file:///x"] * PARTS}],
)
def test_urls_that_do_not_fit_the_parts_are_refused(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, claim: dict[str, Any]
) -> None:
    daemon.place = claim
    with pytest.raises(errors.UnexpectedResponse):
        client.push("pca", DATA)
    assert (objects.puts, daemon.uploads) == ([], {})


def test_one_page_leads_to_one_server(daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore) -> None:
    with FakeObjectStore(b"") as other:
        daemon.part_url = lambda number: (other if number == 3 else objects).new_part_url(number)
        client.push("pca", DATA)
        assert (daemon.versions, other.connections, through_daemon(daemon)) == ([DATA], 0, 1)


@pytest.mark.parametrize(
    "url",
    few(
        3,
        [
            "http://10.0.0.1/o",  # without TLS
            "https://169.254.169.254/o",
            "https://[::ffff:169.254.169.254]/o",
            "https://[fd00:ec2::254]/o",
            "https://0.0.0.0/o",
            "https://user:password@example.com/o",
        ],
    ),
)
def test_no_byte_is_sent_to_a_url_that_no_daemon_may_name(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    daemon.part_size, daemon.part_url = PART, lambda number: f"{url}?{SECRET}&uploadId=u&partNumber={number}"

    def refuse(*_: object, **_options: object) -> None:
        raise AssertionError("a connection to the URL")

    monkeypatch.setattr("opstore_cli.transport.direct._Adapter.send", refuse)
    client.push("pca", DATA)
    assert daemon.versions == [DATA]


@for_each("shows", [True, False])
def test_a_file_that_changes_while_its_parts_are_sent_becomes_no_version(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path, shows: bool
) -> None:
    path = source_file(tmp_path, DATA)
    state = path.stat()
    changed = DATA[: 7 * PART] + b"!"

    def change(number: int) -> str:
        if number == PARTS:  # after all parts were hashed, before any of them is sent
            path.write_bytes(changed)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + shows))
        return objects.new_part_url(number)

    daemon.part_url = change
    with pytest.raises(errors.FileRefused if shows else errors.ChecksumMismatch):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads, through_daemon(daemon)) == ([], {}, 0 if shows else 1)
    daemon.log.clear()


def test_a_file_that_becomes_shorter_is_refused(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path
) -> None:
    path = source_file(tmp_path, DATA)

    def cut(number: int) -> str:
        os.truncate(path, PART)
        return objects.new_part_url(number)

    daemon.part_url = cut
    with pytest.raises(errors.FileRefused, match="shorter"):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads) == ([], {})


def test_after_ctrl_c_a_later_push_sends_what_did_not_arrive(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, tmp_path: Path
) -> None:
    daemon.part_size = 1_000_000
    path, home = source_file(tmp_path), tmp_path / "home"
    objects.part_faults = {3: ["hang"]}

    def interrupt(done: int, _all: int | None) -> None:
        if done > 3_000_000 and len(objects.parts) == 9:
            raise KeyboardInterrupt

    client._progress = interrupt
    with pytest.raises(InterruptedTransfer):
        client.push("pca", path)
    assert (daemon.reported, len(state_files(home))) == ([(0, 2)], 1)
    objects.let_go.set()
    client._progress = False
    objects.puts.clear()
    client.push("pca", path)
    assert (daemon.versions, sorted(objects.puts), state_files(home)) == ([BYTES], list(range(3, 11)), [])
    assert through_daemon(daemon) == 0
    assert daemon.declared == [{"size", "digest"}], "another process has sent the beginning"


def test_an_interrupt_ends_a_part_that_hangs(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "GRACE", 60.0)
    objects.part_faults = {number: ["hang"] for number in range(1, PARALLEL + 1)}

    def interrupt(_done: int, _all: int | None) -> None:
        if len(objects.puts) == PARALLEL:
            raise KeyboardInterrupt

    client._progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        client.push("pca", DATA)
    assert [each.name for each in threading.enumerate() if "(_run)" in each.name] == []
    assert daemon.reported == []
    objects.let_go.set()


def test_the_progress_counts_bytes_that_go_out_and_goes_back_for_those_that_go_again(
    daemon: FakeDaemon, client: OpStoreClient, objects: FakeObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "POLL_INTERVAL", 0.001)
    daemon.part_size = 4_500_001
    objects.part_faults = {1: [404], 2: ["hang"]}
    shown: list[int] = []

    def moved(done: int, all_: int | None) -> None:
        assert all_ == len(BYTES)
        shown.append(done)
        if done:  # a part of which the object store has not answered for any
            objects.let_go.set()

    client._progress = moved
    client.push("pca", BYTES)
    again = shown.index(0, next(place for place, done in enumerate(shown) if done))
    assert 0 < max(shown[:again]) < len(BYTES)
    assert shown[-1] == len(BYTES)
    assert daemon.versions == [BYTES]
