"""OpStoreClient against a listening daemon."""

import enum
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, limits
from opstore_daemon.testing import serving
from tests.support.figures import few
from tests.support.machines import MIB
from tests.support.random_bytes import random_bytes

TOKEN = "a-token-of-the-test"
READ_TOKEN = "a-token-that-only-reads"


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPSTORE_TOKEN", raising=False)
    with serving(tmp_path, token=TOKEN, tokens={READ_TOKEN: "read"}) as running:
        yield running.listener


@pytest.fixture
def client(listener: Listener) -> Iterator[OpStoreClient]:
    with OpStoreClient(listener.url, token=TOKEN) as made:
        yield made


SIZES = [0, 1, 5 * MIB + 1, 20 * MIB]


@pytest.mark.parametrize("size", few(1, SIZES))
def test_bytes_paths_and_files_can_be_pushed_and_pulled(client: OpStoreClient, tmp_path: Path, size: int) -> None:
    content = random_bytes(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert client.push("one", content).size == size
    assert client.push("one", path).created is False
    assert client.push("one", str(path)).created is False
    with path.open("rb") as file:
        assert client.push("one", file).created is False
        assert not file.closed
    assert client.push("one", io.BytesIO(content)).created is False
    assert client.pull("one") == content
    record = client.pull("one", to=tmp_path / "pulled")
    assert (record.version, (tmp_path / "pulled").read_bytes()) == ("1.0.0", content)
    assert client.pull("one", to=str(tmp_path / "pulled"), overwrite=True) == record
    buffer = io.BytesIO()
    assert client.pull("one", to=buffer) == record
    assert buffer.getvalue() == content


def test_a_file_object_is_read_from_its_position(client: OpStoreClient) -> None:
    file = io.BytesIO(b"a head, then the bytes")
    file.seek(len(b"a head, then "))
    client.push("pca", file)
    assert client.pull("pca") == b"the bytes"


@pytest.mark.parametrize("size", [0, 1, 9 * MIB + 1])
def test_a_pipe_is_pushed_to_its_end(client: OpStoreClient, size: int) -> None:
    content = random_bytes(size)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as file:
        pushed = client.push("pca", file)
    writer.join()
    assert (pushed.size, client.pull("pca") == content) == (size, True)


class _Broken(io.RawIOBase):
    """A file whose fourth read fails."""

    def __init__(self) -> None:
        self.left = 3

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")
        memoryview(buffer)[:1000] = bytes(1000)  # type: ignore[arg-type]
        return 1000


def test_a_source_that_fails_makes_no_version(client: OpStoreClient, tmp_path: Path) -> None:
    with pytest.raises(errors.FileRefused, match="Input/output error"):
        client.push("pca", _Broken())  # type: ignore[arg-type]
    with pytest.raises(errors.FileRefused, match="there is no such file"):
        client.push("pca", tmp_path / "nowhere")
    with pytest.raises(errors.FileRefused, match="did not return bytes"):
        client.push("pca", io.StringIO("text"))  # type: ignore[arg-type]
    assert client.ops() == []
    assert list((tmp_path / "blobs" / "staging").iterdir()) == []


def test_an_invalid_output_leaves_nothing(client: OpStoreClient, tmp_path: Path) -> None:
    client.push("pca", b"one")
    out = tmp_path / "out"
    out.mkdir()
    (out / "there").write_bytes(b"mine")
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=out / "there")
    with pytest.raises(errors.FileRefused):
        client.pull("pca", to=out)
    with pytest.raises(errors.FileRefused):
        client.pull("pca", to=out / "nowhere" / "new")

    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(errors.OutputFailed, match="No space left"):
        client.pull("pca", to=Full())  # type: ignore[call-overload]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"there": b"mine"}


@pytest.mark.slow
def test_one_client_serves_many_threads(client: OpStoreClient) -> None:
    def work(worker: int) -> list[int]:
        made = [client.push("shared", f"{worker}/{turn}".encode() * 1000) for turn in range(10)]
        assert client.pull(f"shared@{made[-1].version}") == f"{worker}/9".encode() * 1000
        return [version.sequence for version in made]

    with ThreadPoolExecutor(8) as pool:
        sequences = [sequence for done in pool.map(work, range(8)) for sequence in done]
    assert sorted(sequences) == list(range(1, 81))
    assert [version.sequence for version in client.versions("shared").versions] == list(range(80, 0, -1))
    assert client.op("shared").versions == 80


def test_a_client_can_be_used_again_after_it_was_closed(listener: Listener) -> None:
    with OpStoreClient(listener.url, token=TOKEN) as client:
        client.push("pca", b"one")
    assert client.pull("pca") == b"one"
    client.close()
    client.close()
    assert client.pull("pca") == b"one"
    client.close()


@pytest.mark.slow
def test_a_client_in_a_forked_process_opens_its_own_connections(client: OpStoreClient) -> None:
    client.push("pca", b"one" * 1000)
    # In a separate process, because forking a process with threads is unsafe.
    script = f"""
import os
from opstore_cli import OpStoreClient
client = OpStoreClient({client.target.url!r}, token={TOKEN!r})
assert client.pull("pca") == b"one" * 1000
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        ok = all(client.pull("pca") == b"one" * 1000 for _ in range(20))
        os._exit(0 if ok else 1)
    children.append(child)
assert all(client.pull("pca") == b"one" * 1000 for _ in range(20))
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
client.close()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_errors_are_the_classes_that_the_daemon_raised(listener: Listener, client: OpStoreClient) -> None:
    client.push("pca", b"one", subversions="aaaa.bbbb.cccc")
    client.register("tokenizer", fields={"major": {"a": "b"}})
    client.register_pipeline("churn", ["pca", "forest"])
    with pytest.raises(errors.VersionConflict) as conflict:
        client.push("pca", b"two", subversions="aaaa.bbbb.cccc")
    assert conflict.value.details["version"] == "1.0.0"
    assert str(conflict.value) == conflict.value.text
    with pytest.raises(errors.OpNotFound):
        client.show("nowhere")
    with pytest.raises(errors.VersionNotFound):
        client.show("pca@9")
    with pytest.raises(errors.TagNotFound):
        client.show("pca@a-tag")
    with pytest.raises(errors.NotStored):
        client.pull("tokenizer")
    with pytest.raises(errors.LinkNotFound):
        client.unlink("pca@1.0.0", "forest@any")
    with pytest.raises(errors.PipelineNotFound):
        client.pipeline("nowhere")
    with pytest.raises(errors.PipelineConflict):
        client.register_pipeline("churn", ["forest", "pca"])
    with pytest.raises(errors.InvalidGraph):
        client.register_pipeline("loop", edges=[("pca", "forest"), ("forest", "pca")])
    with pytest.raises(errors.InvalidRequest):
        client.push("pca", b"three", bump="minor", subversions="aaaa.bbbb.dddd")
    with pytest.raises(errors.InvalidRequest):
        client.push("pca", b"three", message="a\0b")
    with pytest.raises(errors.InvalidRequest):
        client.versions("pca", limit=0)
    with OpStoreClient(listener.url, token="another-token") as stranger, pytest.raises(errors.ProofFailed):
        stranger.ops()
    with OpStoreClient(listener.url, token=READ_TOKEN) as reader:
        assert reader.pull("pca") == b"one"
        with pytest.raises(errors.ScopeRequired):
            reader.push("pca", b"three")
    with pytest.raises(errors.DaemonUnreachable), OpStoreClient("http://127.0.0.1:1", token=TOKEN) as nobody:
        nobody.ops()
    with pytest.raises(errors.PlainHttp), OpStoreClient("http://192.0.2.1", token=TOKEN) as beyond:
        beyond.ops()


def test_a_refused_push_leaves_no_upload(client: OpStoreClient, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(random_bytes(9 * MIB))
    for source in (b"small", path):
        with pytest.raises(errors.OpNotFound):
            client.push("pca", source, valid_with=["nowhere@1.0.0"])
    assert client.ops() == []
    assert list((tmp_path / "blobs" / "staging").iterdir()) == []
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


def test_all_pages_of_a_list_are_read(client: OpStoreClient) -> None:
    count = limits.MAX_LIMIT // 100 + 5
    for number in range(count):
        client.register("pca", fields={"patch": {"n": str(number)}})
    assert [version.sequence for version in client.versions("pca").versions] == list(range(count, 0, -1))
    assert [version.sequence for version in client.versions("pca", limit=3).versions] == [count, count - 1, count - 2]


def test_progress_of_every_transfer_is_reported(client: OpStoreClient, tmp_path: Path) -> None:
    moved: list[tuple[int, int | None]] = []
    client.progress = lambda done, total: moved.append((done, total))
    client.push("pca", bytes(3 * MIB))
    pushed, moved[:] = list(moved), []
    client.pull("pca", to=tmp_path / "pulled")
    for moves in (pushed, moved):
        assert (moves[0], moves[-1]) == ((0, 3 * MIB), (3 * MIB, 3 * MIB))
        assert moves == sorted(moves)


def test_wait_takes_a_member_of_an_enum_for_a_pipeline(client: OpStoreClient) -> None:
    class Pipelines(str, enum.Enum):  # noqa: UP042 - str() of a StrEnum is its value, str() of this is its name
        CHURN = "churn"

    client.register_pipeline(Pipelines.CHURN, ["pca", "forest"])
    assert client.wait(Pipelines.CHURN, seconds=0).verdict == "unknown"
