"""The record of what pulls wrote into a folder."""

import os
from pathlib import Path

import pytest

from opstore_cli.files import private
from opstore_cli.transfer.pull_record import NAME, PullRecord
from opstore_cli.transfer.source import digest_of_path
from opstore_daemon.protocol.digests import Digest, digest_of


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Write a file and the record that names it; return the folder."""
    (tmp_path / "pca").write_bytes(b"one")
    PullRecord.read(tmp_path).add("churn", {"pca": digest_of(b"one")}, {})
    return tmp_path


def test_the_record_of_another_user_is_not_used(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "is_own", lambda _: False)
    assert PullRecord.read(record).prune("churn", []) == ([], [])
    assert (record / "pca").exists()
    monkeypatch.undo()
    assert PullRecord.read(record).prune("churn", []) == ([record / "pca"], [])
    assert os.listdir(record) == [NAME]


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_what_never_ends_is_kept_unread(record: Path, kind: str) -> None:
    (record / "pca").unlink()
    if kind == "pipe":
        os.mkfifo(record / "pca")  # without a writer
    else:
        (record / "pca").symlink_to("/dev/zero")
    assert digest_of_path(record / "pca") is None
    assert PullRecord.read(record).prune("churn", []) == ([], [record / "pca"])


def test_a_file_that_changes_while_it_is_removed_is_put_back(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        real(source, target)
        if target.name.endswith(".old"):
            target.write_bytes(b"written through a descriptor that was open")

    monkeypatch.setattr(os, "rename", rename)
    assert PullRecord.read(record).prune("churn", []) == ([], [record / "pca"])
    assert (record / "pca").read_bytes().startswith(b"written")
    assert sorted(os.listdir(record)) == [NAME, "pca"]


def test_the_digest_of_a_replaced_file_is_that_of_the_new_one(record: Path) -> None:
    (record / "pca").write_bytes(b"two")
    found = PullRecord.read(record)
    found.add("churn", {"pca": digest_of(b"two")}, {})
    assert PullRecord.read(record).prune("churn", []) == ([record / "pca"], [])


def test_nothing_is_written_if_nothing_changes(tmp_path: Path) -> None:
    digest: Digest = digest_of(b"one")
    found = PullRecord.read(tmp_path)
    found.add("churn", {}, {"pca": digest})
    assert found.prune("churn", ["pca"]) == ([], [])
    assert os.listdir(tmp_path) == []
