"""Part files: when one is reused, and when it gets its final name."""

import os
from pathlib import Path

import pytest

from opstore_cli.files.locks import LockState, try_lock
from opstore_cli.files.part_file import PartFile
from opstore_cli.files.part_folder import PartFolder
from opstore_daemon.protocol.digests import digest_of
from tests.support.faults import record_names

DIGEST = digest_of(b"bytes")


def part_of(target: Path) -> Path:
    """Return the path of the part that a pull to `target` creates."""
    with PartFile.beside(target, DIGEST) as part:
        part.remove()
    return part.path


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_bytes_are_synced_before_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    log = record_names(monkeypatch, "write", "fsync", "link", "replace")
    with PartFile.beside(tmp_path / "out", DIGEST) as part:
        part.write(b"bytes")
        part.publish(tmp_path / "out", overwrite)
    assert log == ["write", "fsync", "replace" if overwrite else "link", "fsync folder"]
    assert (tmp_path / "out").read_bytes() == b"bytes"


def test_a_part_with_a_second_name_is_left_alone(tmp_path: Path) -> None:
    path = part_of(tmp_path / "out")
    path.write_bytes(b"bytes")
    os.link(path, tmp_path / "a target already")
    with PartFile.beside(tmp_path / "out", DIGEST) as part:
        assert part.path != path
        part.write(b"other")
    assert (tmp_path / "a target already").read_bytes() == b"bytes"


def test_a_part_that_becomes_a_target_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = part_of(tmp_path / "out")
    path.write_bytes(b"bytes")

    def overtaken(descriptor: int) -> LockState:
        if path.exists():
            os.replace(path, tmp_path / "out")
        return try_lock(descriptor)

    monkeypatch.setattr("opstore_cli.files.part_file.try_lock", overtaken)
    with PartFile.beside(tmp_path / "out", DIGEST) as part:
        assert part.path != path
        part.write(b"other")
    assert (tmp_path / "out").read_bytes() == b"bytes"


def test_a_pipe_in_place_of_a_part_is_left_alone(tmp_path: Path) -> None:
    path = part_of(tmp_path / "out")
    os.mkfifo(path)
    with PartFile.beside(tmp_path / "out", DIGEST) as part:
        assert part.path != path


@pytest.mark.parametrize("kind", [PartFile, PartFolder])
def test_a_part_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[PartFile] | type[PartFolder]
) -> None:
    target, user = tmp_path / "out", os.geteuid()
    with kind.beside(target, DIGEST) as theirs:
        pass
    with kind.beside(target, DIGEST) as again:
        assert again.path == theirs.path
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with kind.beside(target, DIGEST) as part:
        assert part.path != theirs.path
    assert theirs.path.exists()


def test_a_part_that_another_process_writes_to_is_left_alone(tmp_path: Path) -> None:
    digest = digest_of(b"x")
    with PartFile.beside(tmp_path / "out", digest) as first, PartFile.beside(tmp_path / "out", digest) as second:
        assert first.path != second.path
