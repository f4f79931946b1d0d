"""Uploads of folders."""

from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from tests.cli.folders.trees import make, packed
from tests.support.fake_daemon import FakeDaemon
from tests.support.random_bytes import random_bytes
from tests.support.transfers import interrupt_push


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Create a folder whose upload has a state file."""
    return make(tmp_path / "large", {f"{number:02}": random_bytes(500_000, seed=number) for number in range(20)})


def test_a_push_resumes_after_a_lost_connection(daemon: FakeDaemon, client: OpStoreClient, large: Path) -> None:
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 1), ("PATCH uploads", 500_100)]
    client.push("pca", large)
    assert daemon.versions == [packed(large)]


@pytest.mark.slow
def test_a_later_process_resumes_a_push_of_an_unchanged_folder_only(
    daemon: FakeDaemon, client: OpStoreClient, large: Path
) -> None:
    moved: list[int] = []
    interrupt_push(daemon, client, large)
    assert len(daemon.uploads["u1"]) == 5_000_000
    client.progress = lambda done, _all: moved.append(done)
    client.push("pca", large)
    assert (moved[0], list(daemon.sizes)) == (5_000_000, ["u1"])
    daemon.versions.clear()
    interrupt_push(daemon, client, large)
    (large / "19").write_bytes(b"another")
    client.push("pca", large)
    assert list(daemon.sizes) == ["u1", "u2", "u3"]
    assert daemon.versions[-1] == packed(large)


def test_a_folder_that_changes_creates_no_version(daemon: FakeDaemon, client: OpStoreClient, large: Path) -> None:
    def change(done: int, _all: int | None) -> None:
        if done > 4_000_000:
            (large / "00").write_bytes(b"another")

    client.progress = change
    with pytest.raises(errors.FileRefused, match=r"large/00: it changed while it was read"):
        client.push("pca", large)
    assert (daemon.versions, daemon.uploads) == ([], {})


def test_a_folder_can_have_no_other_format(daemon: FakeDaemon, client: OpStoreClient, large: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="the format of a folder is folder, not joblib"):
        client.push("pca", large, format="joblib")
    assert daemon.uploads == {}
    client.push("pca", large, format="folder")
