"""Pushes to several daemons with a real object store: parts, memory and what daemons that are killed cost."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from opstore_cli.transfer import retry
from opstore_cli.transfer.upload import PIECE
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.object_store import buffers
from tests.support.balanced_client import BadGateway, BalancedClient
from tests.support.daemons import Fleet, servers_of
from tests.support.figures import few
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes
from tests.support.transfers import Pipe, source_file

MIB = 1 << 20
DATA = random_bytes(3 * PIECE + 4321)


@pytest.fixture(params=few(1, ["sqlite", "postgresql"]))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'opstore.db'}"
    found: str = request.getfixturevalue("store_url")
    return found


@pytest.fixture
def savers(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> list[S3Saver]:
    monkeypatch.setattr(retry, "WAITS", (0.0,) * 5)
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    return [S3Saver(bucket.url) for _ in range(3)]


@pytest.fixture
def fleet(savers: list[S3Saver], url: str) -> Iterator[Fleet]:
    with servers_of(savers, url) as servers, Fleet(servers) as running:
        yield running
    assert buffers.budget.used == 0, "all memory is given back"


@pytest.mark.slow
def test_each_request_of_a_push_may_meet_another_daemon(fleet: Fleet, savers: list[S3Saver], tmp_path: Path) -> None:
    requests = [Requests(saver) for saver in savers]
    with closing(BalancedClient(fleet.urls, progress=False)) as client:
        pushed = client.push("pca", cast(BinaryIO, Pipe(DATA)))
        assert (pushed.digest, pushed.size) == (digest_of(DATA), len(DATA))
        # A piece is a part. Only the last is a tail, which becomes the last part.
        assert sum((each for each in requests), Counter[str]())["UploadPart"] == 4
        assert sum((each for each in requests), Counter[str]())["PutObject"] == 1
        assert sum(each.sent for each in requests) == pytest.approx(len(DATA) + 4321, abs=10_000)
        client.pull("pca", tmp_path / "pulled")
    assert (tmp_path / "pulled").read_bytes() == DATA


@pytest.mark.slow
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_daemons_that_are_killed_cost_at_most_what_they_had_in_memory(
    fleet: Fleet, savers: list[S3Saver], tmp_path: Path
) -> None:
    requests = [Requests(saver) for saver in savers]
    with closing(BalancedClient(fleet.urls)) as client:
        kills = [PIECE + MIB, 2 * PIECE + 5 * MIB]

        def progress(done: int, _all: int | None) -> None:
            if kills and done >= kills[0]:
                kills.pop(0)
                fleet.kill(client.sent[-1][0])

        def before(_at: int, request: str) -> BadGateway | None:
            return BadGateway() if request.startswith("GET /v1/uploads") and len(client.sent) % 2 else None

        client.progress, client.before = progress, before
        pushed = client.push("pca", source_file(tmp_path, DATA))
        assert (pushed.digest, fleet.kills) == (digest_of(DATA), 2)
        stored = sum(each.sent for each in requests)
        assert stored <= len(DATA) + 2 * PIECE + MIB, "at most one part is sent again for each daemon"
        client.progress = False
        client.pull("pca", tmp_path / "pulled")
    assert (tmp_path / "pulled").read_bytes() == DATA
