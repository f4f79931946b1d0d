"""The path that a pull writes to."""

import errno
import os
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
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
    assert (daemon.log, target.read_bytes()) == ([], b"dear")
    client.pull("pca", to=target, overwrite=True)
    assert target.read_bytes() == BYTES


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
