"""Connections are cut at many offsets: no version is partial, no file is wrong, and few bytes are sent twice."""

import io
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.transfer import retry
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from tests.support.daemon import Daemon
from tests.support.figures import few, figures
from tests.support.lossy_proxy import CuttingProxy
from tests.support.random_bytes import random_bytes
from tests.support.transfers import BYTES, Pipe, source_file, state_files

pytestmark = [pytest.mark.usefixtures("no_waits"), pytest.mark.timeout(1800)]

SIZE = len(BYTES)
HEADS = 3000  # bytes of the heads of the requests, or of the responses, of one try
IN_FLIGHT = 65536  # bytes that the proxy reads at once
RESTARTED_AFTER = 40  # cuts at least, and a tenth of them


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[Daemon]]:
    """Return a list whose only item is the daemon, which a test may replace."""
    started = [Daemon.start(tmp_path / "home")]
    try:
        yield started
    finally:
        started[0].kill()


@pytest.fixture
def proxy(running: list[Daemon]) -> Iterator[CuttingProxy]:
    """Return a proxy in front of the daemon."""
    with CuttingProxy(lambda: running[0].address, running[0].token) as made:
        yield made


@pytest.fixture
def connect(proxy: CuttingProxy, running: list[Daemon], tmp_path: Path) -> Callable[[], OpStoreClient]:
    """Return a function that makes a new client of the daemon, by way of the proxy."""
    settings = Settings(home=tmp_path / "client").with_url(proxy.url)
    return lambda: OpStoreClient(settings=settings, token=running[0].token)


def restart(running: list[Daemon], tmp_path: Path) -> None:
    """Kill the daemon, and start it again."""
    running[0].kill()
    running[0] = Daemon.start(tmp_path / "home")


def a_folder(path: Path) -> Path:
    """Make a folder of the bytes, in files of different sizes."""
    path.mkdir()
    ends = sorted(random.Random(0).sample(range(SIZE), 200))
    for number, (start, end) in enumerate(pairwise([0, *ends, SIZE])):
        folder = path / f"part{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{number}").write_bytes(BYTES[start:end])
    return path


def contents(path: Path) -> object:
    """Return the bytes of a file, or those of the files in a folder by name."""
    if path.is_file():
        return path.read_bytes()
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture(params=few(1, ["file", "folder"]))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "source"
    if request.param == "folder":
        return a_folder(path)
    path.write_bytes(BYTES)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(1000))
def test_a_small_push_that_is_cut_at_any_byte_makes_one_version(
    proxy: CuttingProxy, connect: Callable[[], OpStoreClient], count: int
) -> None:
    with closing(connect()) as client:
        client.push("pca", random_bytes(500, 0), new=True)
        lengths = proxy.counts.copy()
        for number in range(1, count + 1):
            way: Literal["up", "down"] = "up" if number % 2 else "down"
            proxy.cut_after(lengths[way] * number // (count + 1), way, "forward")
            pushed = client.push("pca", random_bytes(500, number), new=True)
            assert (pushed.sequence, pushed.digest) == (number + 1, digest_of(random_bytes(500, number)))
        assert proxy.cuts == count
        assert [each.sequence for each in client.versions("pca").versions] == list(range(count + 1, 0, -1))


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(1000, 20))
def test_a_push_resumes_in_a_new_process_after_each_cut(
    running: list[Daemon],
    proxy: CuttingProxy,
    connect: Callable[[], OpStoreClient],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    monkeypatch.setattr(retry, "WAITS", ())
    chance = random.Random(count)
    for number in range(count):
        if number % max(count // 10, RESTARTED_AFTER) == 1:
            restart(running, tmp_path)
        proxy.cut_after(chance.randrange(1, int(1.5 * SIZE / count)), "up")
        with closing(connect()) as client, pytest.raises(errors.Unreachable):
            client.push("pca", source)
        assert proxy.cuts == number + 1
        assert running[0].ask("GET", "/v1/ops")[1]["ops"] == []
    proxy.forward()
    with closing(connect()) as client:
        pushed = client.push("pca", source)
        assert proxy.up < SIZE + FRAMES + (count + 1) * HEADS
        assert proxy.taken < SIZE + FRAMES + (count + 1) * (HEADS + IN_FLIGHT)
        assert [each.version for each in client.versions("pca").versions] == [pushed.version] == ["1.0.0"]
        client.pull("pca", to=tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(source)
    assert state_files(tmp_path / "client") == []
    assert list((tmp_path / "home" / "blobs" / "staging").iterdir()) == []


@pytest.mark.parametrize("count", figures(1000, 20))
def test_a_pull_resumes_in_a_new_process_after_each_cut(
    running: list[Daemon],
    proxy: CuttingProxy,
    connect: Callable[[], OpStoreClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """A folder is in the next test: of its files, a new process resumes only large ones in their middle."""
    with closing(connect()) as client:
        client.push("pca", BYTES)
    monkeypatch.setattr(retry, "WAITS", ())
    chance = random.Random(count)
    target = tmp_path / "out" / "pulled"
    target.parent.mkdir()
    before = proxy.down
    for number in range(count):
        if number % max(count // 10, RESTARTED_AFTER) == 1:
            restart(running, tmp_path)
        proxy.cut_after(chance.randrange(1, int(1.5 * SIZE / count)), "down")
        with closing(connect()) as client, pytest.raises(errors.Unreachable):
            client.pull("pca", to=target)
        assert proxy.cuts == number + 1
        assert not target.exists()
    proxy.forward()
    with closing(connect()) as client:
        client.pull("pca", to=target)
    assert target.read_bytes() == BYTES
    assert [path.name for path in target.parent.iterdir()] == ["pulled"]
    assert state_files(tmp_path / "client") == []
    assert proxy.down - before < SIZE + (count + 1) * HEADS


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(1000))
@pytest.mark.parametrize("what", few(1, ["folder", "file", "stream"]))
def test_a_push_resumes_in_the_same_process_after_each_cut(
    proxy: CuttingProxy, connect: Callable[[], OpStoreClient], tmp_path: Path, what: str, count: int
) -> None:
    path = a_folder(tmp_path / "source") if what == "folder" else source_file(tmp_path)
    source: Path | BinaryIO = cast(BinaryIO, Pipe(BYTES)) if what == "stream" else path
    with closing(connect()) as client:
        proxy.cut_after(SIZE // count, "up", "again")
        pushed = client.push("pca", source)
        assert proxy.cuts >= count
        assert proxy.up < SIZE + FRAMES + (proxy.cuts + 1) * HEADS
        proxy.forward()
        assert [each.digest for each in client.versions("pca").versions] == [pushed.digest]
        client.pull("pca", to=tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(path)


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(1000))
@pytest.mark.parametrize("what", few(1, ["folder", "file", "stream", "bytes"]))
def test_a_pull_resumes_in_the_same_process_after_each_cut(
    proxy: CuttingProxy, connect: Callable[[], OpStoreClient], tmp_path: Path, what: str, count: int
) -> None:
    with closing(connect()) as client:
        client.push("pca", a_folder(tmp_path / "source") if what == "folder" else BYTES)
        before = proxy.down
        proxy.cut_after(SIZE // count, "down", "again")
        if what == "bytes":
            assert client.pull("pca") == BYTES
        elif what == "stream":
            stream = io.BytesIO()
            client.pull("pca", to=stream)
            assert stream.getvalue() == BYTES
        else:
            client.pull("pca", to=tmp_path / "pulled")
            assert contents(tmp_path / "pulled") == (BYTES if what == "file" else contents(tmp_path / "source"))
    assert proxy.cuts >= count
    assert proxy.down - before < SIZE + FRAMES + (proxy.cuts + 1) * HEADS


FRAMES = 1024 * 1024  # bytes that a folder has beside those of its files
