"""A daemon whose bytes are in an object store: its memory is bounded, and its disk has no bytes of an op."""

import http.client
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol.digests import digest_of, new_hash
from opstore_daemon.savers.object_store.parts import MIB, PART
from tests.support.daemon_process import Process, daemon_process
from tests.support.fault_proxy import Fault, HttpProxy, every
from tests.support.object_store import Bucket

PIECE = 4 * MIB


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def process(home: Path, bucket: Bucket) -> Iterator[Process]:
    # Warnings of the library of the object store are not ours.
    with daemon_process(home, "--saver", bucket.url, PYTHONWARNINGS="default", **bucket.environ) as process:
        yield process


@pytest.fixture
def client(process: Process, home: Path) -> Iterator[OpStoreClient]:
    with OpStoreClient(f"http://127.0.0.1:{process.port}", token=(home / "token").read_text().strip()) as client:
        yield client


def pulled(process: Process, home: Path, op: str) -> tuple[int, str]:
    """Pull the bytes without keeping them; return their number and their digest."""
    token, hash_, size = (home / "token").read_text().strip(), new_hash(), 0
    with closing(http.client.HTTPConnection("127.0.0.1", process.port)) as connection:
        connection.request("GET", f"/v1/ops/{op}/versions/latest/bytes", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        while piece := answer.read(PIECE):
            hash_.update(piece)
            size += len(piece)
    return size, f"sha256:{hash_.hexdigest()}"


def on_disk(home: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [96 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_memory_and_disk_of_a_push_and_a_pull_do_not_grow_with_their_size(
    process: Process, client: OpStoreClient, home: Path, tmp_path: Path, size: int
) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(size)  # takes no space
    client.push("small", b"x" * MIB)
    assert pulled(process, home, "small")[0] == MIB
    before, disk = process.peak(), on_disk(home)
    version = client.push("large", source)
    pushed = process.peak()
    assert pulled(process, home, "large") == (size, version.digest)
    after = process.peak()
    assert (pushed - before) // MIB <= (2 * PART + 40 * MIB) // MIB, "two parts, and pieces of the connection"
    assert (after - before) // MIB <= (2 * PART + 48 * MIB) // MIB
    assert on_disk(home) - disk < 2 * MIB
    assert os.stat(source).st_size == size


@pytest.mark.slow
def test_a_store_in_an_object_store_works_from_end_to_end(
    process: Process, client: OpStoreClient, home: Path, tmp_path: Path
) -> None:
    large = bytes(range(256)) * (9 * MIB // 256)
    client.push("pca", b"small")
    client.push("forest", large, valid_with=["pca"])
    client.push("piped", io.BytesIO(large + b"more"))
    assert client.pull("pca") == b"small"
    assert client.pull("forest", tmp_path / "forest").digest == digest_of(large)
    assert client.pull("piped") == large + b"more"
    token = (home / "token").read_text().strip()
    with closing(http.client.HTTPConnection("127.0.0.1", process.port)) as connection:
        headers = {"Authorization": f"Bearer {token}", "Range": f"bytes={len(large) - 300}-"}
        connection.request("GET", "/v1/ops/forest/versions/latest/bytes", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (206, large[-300:])
    client.remove(["piped"], all_versions=True)
    assert client.collect_garbage(grace=0).garbage == 1
    status = client.status()
    assert (status.versions, status.blobs_size) == (2, len(large) + 5)
    assert client.fsck(read_data=True).clean


@pytest.mark.slow
def test_an_object_store_that_refuses_the_daemon_is_named_by_status_and_a_large_pull(
    home: Path, bucket: Bucket, tmp_path: Path
) -> None:
    refused = Fault("refuse", status="403 Forbidden", code="InvalidAccessKeyId")
    with HttpProxy(int(bucket.endpoint.rpartition(":")[2])) as proxy:
        environ = bucket.at(f"http://127.0.0.1:{proxy.port}").environ
        with daemon_process(home, "--saver", bucket.url, **environ):
            source = tmp_path / "large"
            source.write_bytes(bytes(9 * MIB))

            def run(*words: str) -> "subprocess.CompletedProcess[str]":
                command = [sys.executable, "-P", "-m", "opstore_cli", *words]
                environ = {**os.environ, "OPSTORE_HOME": str(home)}
                return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

            assert run("push", "large", str(source)).returncode == 0
            proxy.fault_for = every(1, refused)
            status, pulled = run("status"), run("pull", "large", "-o", str(tmp_path / "pulled"))
    said = f"the object store of {bucket.url} failed: it does not accept the credentials"
    advice = f"opstore doctor --saver {bucket.url}, where the daemon runs\n"
    assert (status.returncode, pulled.returncode) == (0, 9)
    assert "garbage_size\t-\n" in status.stdout
    assert (said in status.stderr, status.stderr.endswith(f"; {advice}")) == (True, True)
    assert (said in pulled.stderr, pulled.stderr.endswith(f"\nhint: {advice}")) == (True, True)
