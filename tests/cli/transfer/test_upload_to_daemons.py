"""Pushes behind a load balancer: each request lands on another daemon, and daemons end at any moment."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer import retry
from opstore_cli.transfer.upload import MAX_PIECE, PIECE, piece_size
from opstore_cli.transport.interface import Response
from opstore_daemon.protocol import errors, limits
from opstore_daemon.protocol.digests import digest_of
from tests.support.balanced_client import HTML, BadGateway, BalancedClient
from tests.support.daemons import Fleet, daemons
from tests.support.fake_daemon import FakeDaemon
from tests.support.figures import few
from tests.support.random_bytes import random_bytes
from tests.support.shared_saver import PART, SharedStore
from tests.support.transfers import Pipe, count_requests, source_file

DATA = random_bytes(9 * PART + 4321)
IN_FLIGHT = 2 * PART  # bytes: what a daemon has at most in memory of one upload


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS", (0.0,) * 5)


@pytest.fixture
def shared() -> SharedStore:
    return SharedStore()


@pytest.fixture
def fleet(tmp_path: Path, shared: SharedStore) -> Iterator[Fleet]:
    with daemons(tmp_path, shared, 3) as servers, Fleet(servers) as running:
        yield running


@pytest.fixture
def client(fleet: Fleet) -> Iterator[BalancedClient]:
    client = BalancedClient(fleet.urls, progress=False)
    yield client
    client.close()


def sources(folder: Path, data: bytes) -> list[object]:
    return [data, source_file(folder, data), Pipe(data)]


@pytest.mark.parametrize("size", [1000, limits.SMALL_PUSH + 1, PIECE + 5, len(DATA)])
@pytest.mark.parametrize("kind", few(1, [0, 1, 2]))
def test_every_source_arrives_whatever_daemon_each_request_meets(
    client: BalancedClient, shared: SharedStore, tmp_path: Path, size: int, kind: int
) -> None:
    data = DATA[:size]
    pushed = client.push("pca", cast(BinaryIO, sources(tmp_path, data)[kind]))
    assert (pushed.digest, client.get_op_bytes_for_version("pca", pushed.subversions)) == (digest_of(data), data)
    assert len({at for at, _ in client.sent}) == min(3, len(client.sent))
    assert shared.stored in (0, size), "a small push is one object"
    assert (shared.staged, shared.memory) == ({}, 0)


def test_daemons_that_are_killed_cost_what_they_had_in_memory(
    fleet: Fleet, client: BalancedClient, shared: SharedStore, tmp_path: Path
) -> None:
    """A daemon ends in the middle of each of four appends, and others go on."""
    sent = [0]
    kills = iter((PART, 3 * PART + 17, 5 * PART, 8 * PART))
    at = [next(kills)]

    def progress(done: int, _all: int | None) -> None:
        sent[0] = max(sent[0], done)
        if at[0] is not None and done >= at[0]:
            at[0] = next(kills, len(DATA) * 2)
            fleet.kill(client.sent[-1][0])

    client.progress = progress
    pushed = client.push("pca", source_file(tmp_path, DATA))
    assert (fleet.kills, pushed.digest) == (4, digest_of(DATA))
    assert shared.stored == len(DATA), "nothing is stored twice"
    assert shared.accepted - len(DATA) <= 4 * IN_FLIGHT, "a daemon accepts again what another one had in memory"
    assert Counter(request.split()[0] for _, request in client.sent)["PATCH"] == 5
    assert (shared.staged, shared.memory) == ({}, 0)


@pytest.mark.parametrize("seed", few(1, range(4)))
def test_a_push_of_a_pipe_survives_daemons_that_end_and_balancers_that_notice_it_late(
    fleet: Fleet, client: BalancedClient, shared: SharedStore, seed: int
) -> None:
    client = BalancedClient(fleet.urls, seed=seed, progress=False)
    requests = Counter[str]()

    def before(at: int, request: str) -> Response | None:
        kind = request.split()[0]
        requests[kind] += 1
        if kind == "PATCH" and requests[kind] % 2:
            fleet.kill(at)
        if kind in ("PATCH", "GET") and requests[kind] % 3 == 0:
            return BadGateway((502, 503, 504)[requests[kind] // 3 % 3])
        return None

    client.before = before
    pushed = client.push("pca", cast(BinaryIO, Pipe(DATA)))
    assert pushed.digest == digest_of(DATA)
    assert shared.stored == len(DATA)
    client.close()


@pytest.mark.slow
def test_bytes_that_the_store_has_lost_are_sent_again(
    client: BalancedClient, shared: SharedStore, tmp_path: Path
) -> None:
    lost = [PART]

    def before(_at: int, request: str) -> None:
        if request.startswith("POST /v1/ops") and lost:
            next(iter(shared.staged.values())).lost = lost.pop()

    client.before = before
    assert client.push("pca", source_file(tmp_path, DATA)).digest == digest_of(DATA)
    assert shared.stored == 2 * len(DATA) - PART
    lost.append(PART)
    with pytest.raises(errors.UploadNotFound):
        client.push("lda", cast(BinaryIO, Pipe(DATA)))
    assert shared.staged == {}


@pytest.mark.slow
def test_an_object_store_that_fails_now_and_then_fails_no_push(
    client: BalancedClient, shared: SharedStore, tmp_path: Path
) -> None:
    count = [0]

    def fails(kind: str) -> Exception | None:
        count[0] += kind in ("part", "tail")
        return errors.StorageFailed(reason="SlowDown") if kind in ("part", "tail") and count[0] % 4 == 0 else None

    shared.fails = fails
    assert client.push("pca", source_file(tmp_path, DATA)).digest == digest_of(DATA)
    assert client.push("lda", cast(BinaryIO, Pipe(DATA[:-1]))).digest == digest_of(DATA[:-1])
    assert count[0] > 8


def test_the_pieces_of_a_stream_are_the_parts_of_an_object() -> None:
    sizes, sent = Counter[int](), 0
    while sizes.total() < 5500:
        size = piece_size(sent)
        sizes[size] += 1
        sent += size
    assert sizes == {PIECE: 1000, 2 * PIECE: 1000, 4 * PIECE: 1000, MAX_PIECE: 2500}


# --- what a balancer says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", few(1, [502, 503, 504]))
def test_a_balancer_without_its_daemon_is_asked_again(status: int) -> None:
    with FakeDaemon() as daemon, OpStoreClient(daemon.url, token=daemon.token, progress=False) as client:
        gone = (status, "text/html", HTML)
        daemon.answers = [gone, gone]
        assert client.push("pca", b"bytes").size == 5
        assert count_requests(daemon, "POST") == 3


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_balancer_that_finds_no_daemon_is_named_as_what_it_is(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACKOFF", "JITTER"):
        monkeypatch.setattr(f"opstore_cli.transport.adapter.{name}", 0.0)
    with FakeDaemon() as daemon, OpStoreClient(daemon.url, token=daemon.token) as client:
        daemon.answers = [(status, "text/html", HTML)] * 10
        with pytest.raises(errors.DaemonUnreachable, match=rf"reaches no daemon \(HTTP {status}\)"):
            client.show("pca")
