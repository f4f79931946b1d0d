"""Downloads: lost connections, part files, and wrong bytes."""

import errno
import io
import os
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.files.part_file import PartFile
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from tests.support.fake_daemon import FakeDaemon
from tests.support.faults import fails
from tests.support.transfers import BYTES, outputs


@pytest.mark.parametrize("size", [0, 1, 65_536, 9_000_001])
def test_a_version_is_returned_or_written_to_a_file_or_a_stream(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int
) -> None:
    data = BYTES[:size]
    daemon.versions.append(data)
    stream, target = io.BytesIO(), tmp_path / "out"
    assert client.pull("pca") == data
    assert client.pull("pca", to=stream).version == "1.0.0"
    assert client.pull("pca", to=target).digest == digest_of(data)
    assert (stream.getvalue(), target.read_bytes()) == (data, data)
    assert [path.name for path in outputs(tmp_path)] == ["out"]


def test_a_file_is_not_written_to_a_path_that_names_a_folder(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(b"some bytes")
    (tmp_path / "models").mkdir()
    for to in (tmp_path / "models", f"{tmp_path}/models/", f"{tmp_path}/new/"):
        with pytest.raises(errors.FileRefused, match="folder"):
            client.pull("pca", to=to)
    assert ([*tmp_path.glob("models/*")], (tmp_path / "new").exists()) == ([], False)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_pull_resumes_after_a_lost_connection(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, ranges: bool
) -> None:
    daemon.versions.append(BYTES)
    daemon.ranges = ranges
    faults = [("GET bytes", 3_000_000), ("GET bytes", 3_500_000), ("GET bytes", 0)]
    stream = io.BytesIO()
    for to in (tmp_path / "out", stream):
        daemon.faults = list(faults)
        client.pull("pca", to=to)
    daemon.faults = list(faults)
    assert client.pull("pca") == (tmp_path / "out").read_bytes() == stream.getvalue() == BYTES


@pytest.mark.parametrize("ranges", [True, False])
def test_a_range_is_read_across_lost_connections_also_behind_a_proxy_without_ranges(
    daemon: FakeDaemon, client: OpStoreClient, ranges: bool
) -> None:
    daemon.versions.append(BYTES)
    daemon.ranges = ranges
    with client.start_pull("pca", resume=True) as pull:
        daemon.faults = [("GET bytes", 100), ("GET bytes", 0)]
        assert pull.read_range(1_000, 2_000) == BYTES[1_000:2_000]
        assert pull.read_range(len(BYTES) - 5, len(BYTES) + 5) == BYTES[-5:]
        assert pull.read_range(0, 3) == BYTES[:3]
        daemon.served = b"?" * len(BYTES)
        assert pull.read_range(0, 3) == b"???"  # the caller verifies


def test_a_part_is_kept_after_a_lost_connection_and_resumed(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    daemon.faults = [("GET bytes", 4_000_000)] + [("GET bytes", 0)] * 6
    with pytest.raises(errors.ConnectionLost):
        client.pull("pca", to=tmp_path / "out")
    [part] = outputs(tmp_path)
    assert part.name == f".out.{digest_of(BYTES)[7:23]}.part"
    daemon.headers.clear()
    client.pull("pca", to=tmp_path / "out")
    assert daemon.headers[-1]["Range"] == f"bytes={4_000_000}-"
    assert daemon.headers[-1]["If-Range"] == f'"{digest_of(BYTES)}"'
    assert (tmp_path / "out").read_bytes() == BYTES
    assert not part.exists()


def test_a_pull_of_which_no_byte_comes_names_the_storage_that_fails(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    daemon.storage_fails = True
    with pytest.raises(errors.ObjectStoreFailed, match="it is down"):
        client.pull("pca", to=tmp_path / "out")
    ranges = [each.get("Range") for each in daemon.headers]
    assert (ranges[:6], set(ranges[6:])) == (["bytes=0-"] * 6, {None})
    assert outputs(tmp_path) == []


def test_a_part_with_wrong_bytes_is_downloaded_again(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.versions.append(BYTES)
    (tmp_path / f".out.{digest_of(BYTES)[7:23]}.part").write_bytes(b"wrong")
    client.pull("pca", to=tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BYTES


def test_a_link_in_place_of_the_part_is_not_followed(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.versions.append(BYTES)
    victim = tmp_path / "victim"
    victim.write_bytes(b"dear")
    (tmp_path / f".out.{digest_of(BYTES)[7:23]}.part").symlink_to(victim)
    client.pull("pca", to=tmp_path / "out")
    assert (victim.read_bytes(), (tmp_path / "out").read_bytes()) == (b"dear", BYTES)


@pytest.mark.parametrize("wrong", [BYTES[:-1] + b"!", BYTES + b"!", b""])
def test_wrong_bytes_are_never_returned_or_published(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, wrong: bytes
) -> None:
    daemon.versions.append(BYTES)
    daemon.served = wrong
    stream = io.BytesIO()
    family = errors.IntegrityFailure if wrong else errors.ConnectionLost
    for call in (
        lambda: client.pull("pca"),
        lambda: client.pull("pca", to=tmp_path / "out"),
        lambda: client.pull("pca", to=stream),
    ):
        with pytest.raises(family):
            call()
    assert outputs(tmp_path) == []
    assert len(stream.getvalue()) < len(BYTES)


@pytest.mark.parametrize("size", [0, 1, 9_000_001])
def test_a_pull_is_one_request(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int) -> None:
    daemon.versions.append(BYTES[:size])
    daemon.log.clear()
    client.pull("pca")
    client.pull("pca", to=io.BytesIO())
    client.pull("pca", to=tmp_path / "out")
    assert daemon.log == [f"GET {routes.path(routes.BYTES, op='pca', selector='latest')}"] * 3
    assert (tmp_path / "out").read_bytes() == BYTES[:size]


def test_a_pull_to_a_file_requests_a_range_that_the_daemon_does_not_verify(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    for to in (tmp_path / "out", io.BytesIO()):
        client.pull("pca", to=to)
    assert [headers.get("Range") for headers in daemon.headers[-2:]] == ["bytes=0-", None]


def test_a_resumed_pull_requests_the_record_first(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    """The record says which bytes are missing."""
    daemon.versions.append(BYTES)
    daemon.faults = [("GET bytes", 5_000_000)] + [("GET bytes", 0)] * 6
    with pytest.raises(errors.ConnectionLost):
        client.pull("pca", to=tmp_path / "out")
    daemon.log.clear()
    client.pull("pca", to=tmp_path / "out")
    assert [line.rpartition("/")[2] for line in daemon.log] == ["latest", "bytes"]
    assert daemon.headers[-1]["Range"] == "bytes=5000000-"
    assert (tmp_path / "out").read_bytes() == BYTES


def test_after_wrong_bytes_the_daemon_verifies_the_second_download(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    daemon.served = BYTES[:-1] + b"!"
    daemon.headers.clear()
    with pytest.raises(errors.BlobDamaged):
        client.pull("pca", to=tmp_path / "out")
    assert [headers.get("Range") for headers in daemon.headers[-2:]] == ["bytes=0-", None]
    assert outputs(tmp_path) == []


def test_a_full_disk_leaves_nothing(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.versions.append(BYTES)
    monkeypatch.setattr(PartFile, "write", fails(errno.ENOSPC))
    with pytest.raises(errors.OutputFailed, match="No space left"):
        client.pull("pca", to=tmp_path / "out")
    assert outputs(tmp_path) == []


def test_a_closed_pipe_is_not_reported_as_a_lost_connection(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.versions.append(BYTES)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as output, pytest.raises(BrokenPipeError):
        client.pull("pca", to=output)
