"""A folder gets its name only if nothing has it, and nobody sees an empty one meanwhile."""

import errno
import os
import sys
from pathlib import Path

import pytest

from opstore_cli.files import exclusive_rename
from opstore_cli.files.exclusive_rename import exchange, rename_exclusively


@pytest.fixture(params=["in one step", "with mkdir"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rename as a system does that has a call for it, and as one that has none."""
    way: str = request.param
    if way == "with mkdir":
        monkeypatch.setattr(exclusive_rename, "_rename_with", lambda *_: errno.ENOSYS)
    return way


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "file").write_text("new")
    return path


@pytest.mark.usefixtures("way")
def test_a_folder_is_renamed(tmp_path: Path, source: Path) -> None:
    rename_exclusively(source, tmp_path / "target")
    assert ([*tmp_path.iterdir()], (tmp_path / "target/file").read_text()) == ([tmp_path / "target"], "new")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", ["empty folder", "folder", "file", "dangling link"])
def test_nothing_is_replaced(tmp_path: Path, source: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.write_text("old")
    elif kind == "dangling link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "file").write_text("old")
    before = os.lstat(target)
    with pytest.raises(FileExistsError):
        rename_exclusively(source, target)
    assert (os.lstat(target).st_ino, (source / "file").read_text()) == (before.st_ino, "new")


@pytest.mark.usefixtures("way")
def test_other_errors_are_raised(tmp_path: Path, source: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rename_exclusively(source, tmp_path / "missing/target")
    with pytest.raises(FileNotFoundError):
        rename_exclusively(tmp_path / "missing", tmp_path / "target")
    assert [*tmp_path.iterdir()] == [source]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no call that renames exclusively")
def test_nobody_sees_an_empty_folder(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", lambda *_: pytest.fail("the target was created empty"))
    rename_exclusively(source, tmp_path / "target")
    assert (tmp_path / "target/file").exists()


def test_folders_are_exchanged_or_the_caller_knows(tmp_path: Path, source: Path, way: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    done = exchange(source, target)
    assert (done, (target / "file").exists()) == ((True, True) if way == "in one step" else (False, False))
