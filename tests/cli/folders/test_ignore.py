"""Which entries of a folder patterns exclude: as git does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from opstore_cli.folders.ignore import IgnoreRules, InvalidPattern
from opstore_cli.folders.packing import PackedFolder
from opstore_daemon.protocol import errors
from tests.cli.folders.trees import Tree, make
from tests.support.figures import few

TREE: Tree = {
    ".hidden": b"",
    "#hash": b"",
    "!bang": b"",
    "a.log": b"",
    "a.LOG": b"",
    "b c": b"",
    "build/x": b"",
    "build/y.log": b"",
    "deep/build/x": b"",
    "deep/er/a.log": b"",
    "deep/er/est/a.txt": b"",
    "doc/a.txt": b"",
    "doc/b.txt": b"",
    "file-1": b"",
    "file-2": b"",
    "file-x": b"",
    "file]": b"",
    "trailing ": b"",
    "star*": b"",
    "über": b"",
}

PATTERNS = [
    ["*.log"],
    ["*.log", "!a.log"],
    ["build"],
    ["build/"],
    ["/build"],
    ["/build/"],
    ["a.log/"],
    ["deep/build"],
    ["er/est"],
    ["**/er"],
    ["**/a.txt"],
    ["deep/**"],
    ["deep/**", "!deep/er"],
    ["deep/*", "!deep/er/"],
    ["deep/**/a.txt"],
    ["deep/**/*.log"],
    ["/**/a.log"],
    ["/*.txt"],
    ["doc/*.txt", "!doc/b.txt"],
    ["doc/", "!doc/a.txt"],
    ["file-?"],
    ["file-[0-9]"],
    ["file-[!0-9]"],
    ["file-[^1]"],
    ["file[]]"],
    ["file-[[:alpha:]]"],
    ["file-[[:digit:]x]"],
    ["file-[a\\-x]"],
    ["file-[b-a]"],
    ["deep/**/"],
    ["file-[!x]"],
    ["deep/**", "!deep/er", "!deep/er/a.log"],
    ["doc/**", "!doc/a.txt"],
    ["doc/***", "!doc/a.txt"],
    ["*", "!*/", "!a.txt"],
    ["!*", "doc"],
    ["*.txt", "!doc"],
    ["*/**", "!a.txt"],
    ["doc[!x]a.txt"],
    ["doc[+-0]a.txt"],
    ["file[[]"],
    ["file[&&]"],
    ["#hash"],
    ["\\#hash"],
    ["!bang"],
    ["\\!bang"],
    ["b c"],
    ["b c   "],
    ["trailing\\ "],
    ["trailing "],
    ["star\\*"],
    ["st*r*"],
    ["*"],
    ["*", "!*.log"],
    ["/*", "!/deep"],
    ["/*", "!/doc", "/doc/*", "!/doc/a.txt"],
    ["**"],
    ["a**g"],
    ["f?le-1"],
    [".*"],
    [""],
    ["   "],
    ["deep/er/"],
    ["a/../b"],
    ["./a.log"],
]


def kept(root: Path, patterns: list[str]) -> list[str]:
    packed = PackedFolder(str(root), rules=IgnoreRules(patterns))
    return sorted(os.fsdecode(entry.path) for entry in packed.entries if entry.kind == b"0")


@pytest.mark.skipif(shutil.which("git") is None, reason="requires git")
@pytest.mark.parametrize("patterns", few(20, PATTERNS), ids=" ".join)
def test_what_is_kept_is_what_git_would_track(tmp_path: Path, patterns: list[str]) -> None:
    root = make(tmp_path / "root", TREE)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}

    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=root, env=environment, capture_output=True, check=True).stdout  # noqa: S607

    git("init", "-q")
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("\n".join(patterns) + "\n")
    tracked = git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    # Only with a pattern that includes it again is .git kept: no pattern here does so.
    ours = [path for path in kept(root, patterns) if not path.startswith(".git/")]
    assert ours == sorted(os.fsdecode(path) for path in tracked if path)


def test_git_itself_is_skipped_unless_it_is_included(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {".git/config": b"", "a": b"", "sub/.git": b"gitdir: elsewhere", ".gitignore": b"a"})
    assert kept(root, []) == [".gitignore", "a"]
    assert kept(root, ["!.git"]) == [".git/config", ".gitignore", "a", "sub/.git"]
    assert kept(root, ["!/.git"]) == [".git/config", ".gitignore", "a"]
    packed = PackedFolder(str(root), rules=IgnoreRules(["a"]))
    assert packed.skipped == (1, True)


def test_without_rules_everything_is_packed(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {".git/config": b"", ".opstoreignore": b"*"})
    assert [entry.path for entry in PackedFolder(str(root)).entries] == [b".git", b".git/config", b".opstoreignore"]


def test_names_that_are_not_utf_8_and_line_feeds_are_matched(tmp_path: Path) -> None:
    rules = IgnoreRules(["*.log"])
    assert rules.deciding(b"\xff.log", False)
    assert rules.deciding(b"a\nb.log", False)
    assert rules.deciding(b"a\nb/c.log", False)
    assert rules.deciding(b"a.log\n", False) is None
    assert rules.deciding(b"\xff.txt", False) is None


def test_the_time_of_a_hostile_pattern_is_bounded() -> None:
    # Without the bound, each of these takes longer than anybody waits.
    assert IgnoreRules(["*a" * 100 + "*b"]).deciding(b"a" * 255, False) is None
    assert IgnoreRules(["**/a/" * 100 + "b"]).deciding(b"/".join([b"a"] * 1000), False) is None


@pytest.mark.parametrize("pattern", ["[a", "[", "[!", "[a\\", "a\\", "!", "/", "!/", "[[:nope:]]", "a" * 1025])
def test_what_is_no_pattern_is_refused_with_the_line(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        IgnoreRules([pattern])
    with pytest.raises(errors.InvalidRequest, match="is not a pattern to exclude"):
        IgnoreRules.of_folder(str(tmp_path), [pattern])
    (tmp_path / ".opstoreignore").write_text(f"# a comment\n{pattern}\n")
    with pytest.raises(errors.FileRefused, match="opstoreignore: line 2 is not a pattern"):
        IgnoreRules.of_folder(str(tmp_path))


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device", "not UTF-8", "dangling link"])
def test_an_ignore_file_that_can_not_be_read_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".opstoreignore"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "not UTF-8":
        path.write_bytes(b"\xff")
    else:
        path.symlink_to("/dev/zero" if kind == "link to a device" else "nowhere")
    with pytest.raises(errors.FileRefused, match="opstoreignore"):
        IgnoreRules.of_folder(str(tmp_path))
