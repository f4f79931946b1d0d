"""The path that a pull writes to."""

import errno
import os
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer.source import open_source
from opstore_daemon.protocol import errors
from tests.cli.folders.trees import make
from tests.support.fake_daemon import FakeDaemon
from tests.support.transfers import BYTES, outputs


def test_an_existing_output_is_replaced_only_with_overwrite(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    target = tmp_path / "out"
    target.write_bytes(b"dear")
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)
    assert (daemon.log, target.read_bytes()) == (["GET /v1/ops/pca/versions/latest"], b"dear")
    client.pull("pca", to=target, overwrite=True)
    assert target.read_bytes() == BYTES


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_has_the_bytes_already_is_left_alone(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, overwrite: bool
) -> None:
    daemon.versions.append(BYTES)
    target = tmp_path / "out"
    target.write_bytes(BYTES)
    before = target.stat()
    assert client.pull("pca", to=target, overwrite=overwrite).version == "1.0.0"
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not any(line.endswith("/bytes") for line in daemon.log)
    # Of the same size: only the digest tells them apart.
    target.write_bytes(BYTES[:-1] + b"?")
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)


def test_a_version_that_is_a_file_is_not_taken_for_a_folder_with_the_same_stream(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    make(tmp_path / "out", {"a": b"b"})
    with open_source(tmp_path / "out") as source:
        daemon.versions.append(source.read_full(source.size or 0))
    with pytest.raises(errors.FileRefused, match="it is a folder"):
        client.pull("pca", to=tmp_path / "out", overwrite=True)
    daemon.format = "folder"
    client.pull("pca", to=tmp_path / "out")


def test_an_output_that_appears_meanwhile_with_the_same_bytes_is_left_alone(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    target = tmp_path / "out"

    def appear(*_: object) -> None:
        if not target.exists():
            target.write_bytes(BYTES)

    client.progress = appear
    client.pull("pca", to=target)
    assert [path.name for path in outputs(tmp_path)] == ["out"]


@pytest.mark.parametrize("links", [True, False])
def test_an_output_that_appears_meanwhile_is_not_replaced(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)

    def appear(*_: object) -> None:
        target.write_bytes(b"dear")

    daemon.versions.append(BYTES)
    target = tmp_path / "out"
    client.progress = appear
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)
    assert [path.name for path in outputs(tmp_path)] == ["out"]
    assert target.read_bytes() == b"dear"
    client.progress = lambda *_: None
    client.pull("pca", to=tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == BYTES


def test_folders_devices_and_missing_parents_are_refused_before_the_download(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "none" / "out", tmp_path / "pipe", Path("/")):
        with pytest.raises(errors.FileRefused):
            client.pull("pca", to=target, overwrite=True)
    assert daemon.log == []
    # A folder may become one, but no file: that depends on the version.
    with pytest.raises(errors.FileRefused, match="it is a folder"):
        client.pull("pca", to=tmp_path, overwrite=True)
    assert not any(line.endswith("/bytes") for line in daemon.log)
