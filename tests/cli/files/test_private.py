"""Private files, and files that are written atomically."""

import errno
import os
from pathlib import Path

import pytest

from opstore_cli.files import private
from tests.support.faults import fails

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


def test_create_refuses_a_path_that_exists_even_as_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            private.create(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


def test_open_private_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="symbolic link"):
        private.open_private(tmp_path / "link", os.O_RDONLY)


def test_write_atomically_replaces_a_file_or_a_link_and_sets_the_mode(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"dear")
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "file").write_bytes(b"old")
    for name in ("file", "link", "new"):
        private.write_atomically(tmp_path / name, b"new")
        assert ((tmp_path / name).read_bytes(), (tmp_path / name).lstat().st_mode & 0o777) == (b"new", 0o600)
    assert (tmp_path / "victim").read_bytes() == b"dear"
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "new", "victim"]


def test_write_atomically_keeps_the_old_file_if_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        private.write_atomically(tmp_path / "file", b"new")
    assert (os.listdir(tmp_path), (tmp_path / "file").read_bytes()) == (["file"], b"old")


def test_readable_by_others_applies_to_files_and_folders_but_not_to_pipes(tmp_path: Path) -> None:
    folder, file, pipe = tmp_path / "folder", tmp_path / "file", tmp_path / "pipe"
    folder.mkdir()
    file.touch()
    os.mkfifo(pipe)
    for path in (folder, file, pipe):
        path.chmod(0o644)
    readable = [private.readable_by_others(path) for path in (folder, file, pipe, tmp_path / "nowhere")]
    assert readable == [True, True, False, False]
    file.chmod(0o600)
    assert not private.readable_by_others(file)
