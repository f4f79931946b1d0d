"""Packing: the same content gives the same stream, and entries that can't be stored are refused."""

import hashlib
import os
import random
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.folders import packing
from opstore_cli.folders.packing import PackedFolder
from opstore_cli.transfer.source import open_source
from opstore_daemon.protocol import errors
from tests.cli.folders.trees import SAMPLE, Tree, make, packed
from tests.support.open_files import OpenFiles

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "folder", SAMPLE)


class Shuffled:
    """os.scandir, in a random order."""

    def __init__(self, place: Any) -> None:
        with os.scandir(place) as entries:
            self._entries = list(entries)
        random.shuffle(self._entries)

    def __enter__(self) -> "Iterator[os.DirEntry[bytes]]":
        return iter(self._entries)

    def __exit__(self, *_: object) -> None:
        pass


def test_the_order_of_scandir_does_not_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(root)

    class System:
        scandir = staticmethod(Shuffled)

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    monkeypatch.setattr(packing, "os", System())
    for _ in range(5):
        assert packed(root) == content


def test_order_of_creation_times_and_other_mode_bits_do_not_matter(root: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", SAMPLE, order=-1)
    for path in other.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))
            path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o640)
    assert packed(other) == packed(root)
    (other / "a.b").chmod(0o744)
    assert packed(other) != packed(root)


def test_hard_links_are_stored_as_files(tmp_path: Path) -> None:
    root = make(tmp_path / "folder", {"one": b"content", "two": b"content"})
    other = make(tmp_path / "other", {"one": b"content"})
    os.link(other / "one", other / "two")
    assert packed(other) == packed(root)


def test_empty_folders_and_links_are_stored(root: Path) -> None:
    content = packed(root)
    (root / "empty").rmdir()
    without = packed(root)
    assert without != content
    (root / "empty").symlink_to("a")
    assert packed(root) not in (content, without)


def test_any_range_can_be_read(root: Path) -> None:
    content = packed(root)
    folder = PackedFolder(str(root))
    assert (folder.size, folder.seekable(), folder.seek(0, os.SEEK_END)) == (len(content), True, len(content))
    assert folder.read(1) == b""
    for _ in range(500):
        start, size = random.randrange(len(content)), random.randrange(1500)
        folder.seek(start)
        assert folder.tell() == start
        assert folder.read(size) == content[start : start + size]
        assert folder.tell() == min(start + size, len(content))
    folder.seek(0)
    assert folder.read() == content
    folder.close()


def test_a_folder_is_a_source_with_a_size_and_an_identity(root: Path) -> None:
    with open_source(root) as source, open_source(str(root)) as again:
        assert (source.size, source.format) == (len(packed(root)), "folder")
        assert source.identity == again.identity
        source.check_unchanged()
    (root / "a.b").write_bytes(b"SORTED between a and what is in it")
    os.utime(root / "a.b", ns=(1, 1))
    with open_source(root) as changed:
        assert changed.identity != source.identity


# --- what is refused --------------------------------------------------------------------------------------------------


def push(root: Path, change: Callable[[Path], object] = lambda _: None) -> None:
    """Read everything, as a push does, and apply the change after 200 kB."""
    with open_source(root) as source:
        source.read(200_000)
        change(root)
        while source.read(100_000):
            pass
        source.check_unchanged()


def refused(root: Path, *change: Callable[[Path], object]) -> str:
    with pytest.raises(errors.FileRefused) as caught:
        push(root, *change)
    path, reason = str(caught.value.details["path"]), str(caught.value.details["reason"])
    return f"{os.path.relpath(path, root)}: {reason}"


def test_pipes_and_sockets_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "a/pipe")
    assert refused(root) == "a/pipe: it is a pipe"
    (root / "a/pipe").unlink()
    monkeypatch.chdir(root / "a")  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    assert refused(root) == "a/socket: it is a socket"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_refused(root: Path) -> None:
    os.mknod(root / "device", 0o600 | 0o020000, os.makedev(1, 3))
    assert refused(root) == "device: it is a device"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "a/../a.b"])
def test_a_link_out_of_the_folder_is_refused(root: Path, target: str) -> None:
    (root / "a/link").symlink_to(target)
    assert refused(root).startswith(f"a/link: the link's target {target!r}")


def test_an_absolute_link_into_the_folder_is_refused(root: Path) -> None:
    (root / "absolute").symlink_to(root / "a.b")
    assert "not a relative path" in refused(root)


def test_a_link_to_a_folder_is_stored_as_a_link(root: Path, tmp_path: Path) -> None:
    (root / "folder").symlink_to("a")
    (root / "itself").symlink_to(".")
    names = [entry.path for entry in PackedFolder(str(root))._entries]
    assert {b"folder", b"itself"} <= {*names}
    assert not any(name.startswith((b"folder/", b"itself/")) for name in names)
    # A link that the user names is followed, as for a file.
    (tmp_path / "link").symlink_to("folder")
    assert packed(tmp_path / "link") == packed(root)


@pytest.mark.parametrize("place", ["name", "target"])
def test_a_name_that_is_not_utf_8_is_refused(root: Path, place: str) -> None:
    odd = os.fsencode(root) + b"/caf\xe9"
    if place == "name":
        try:
            os.close(os.open(odd, os.O_CREAT | os.O_WRONLY))
        except OSError:
            pytest.skip("this file system has only names that are UTF-8")
    else:
        os.symlink(b"caf\xe9", os.fsencode(root) + b"/cafe")
    said = refused(root)
    assert said.startswith("caf")
    assert said.endswith("is not UTF-8; names must be the same on every machine")


def test_an_unreadable_entry_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def closed(path: Any, *arguments: Any, **options: Any) -> int:
        if os.fsdecode(path).endswith("a.b"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", closed)
    assert refused(root) == "a.b: Permission denied"


# --- what changes while it is read ------------------------------------------------------------------------------------

LARGE: Tree = {"first": b"1" * 1000, "large": b"l" * MIB, "second": b"2" * 1000}


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _becomes(make_it: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "second").unlink()
        make_it(root / "second")

    return change


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "is cut": (lambda root: os.truncate(root / "large", 100_000), "large: it became shorter while it was read"),
    "grows": (lambda root: _append(root / "large"), "large: it changed while it was read"),
    "is written to": (lambda root: (root / "large").write_bytes(b"L" * MIB), "large: it changed while it was read"),
    "vanishes": (lambda root: (root / "large").unlink(), "large: it changed while it was read"),
    "is replaced": (lambda root: (root / "first").replace(root / "large"), "first: it changed while it was read"),
    "changed after it was read": (lambda root: _append(root / "first"), "first: it changed while it was read"),
    "changes before it is read": (lambda root: _append(root / "second"), "second: it changed while it was read"),
    "vanishes before it is read": (lambda root: (root / "second").unlink(), "second: No such file or directory"),
    "becomes a link": (
        _becomes(lambda path: path.symlink_to("first")),
        "second: Too many levels of symbolic links",
    ),
    "becomes a pipe": (
        _becomes(os.mkfifo),
        "second: it changed while it was read",
    ),
    "comes": (lambda root: (root / "new").write_bytes(b""), "new: it changed while it was read"),
    "comes as a folder": (lambda root: (root / "new").mkdir(), "new: it changed while it was read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_the_read_is_refused(tmp_path: Path, change: str) -> None:
    root = make(tmp_path / "folder", LARGE)
    how, said = CHANGES[change]
    assert refused(root, how) == said


# --- memory -----------------------------------------------------------------------------------------------------------


def peak_of(call: Callable[[], object]) -> int:
    """Return the peak of the memory that Python allocates in the call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_holds_a_list_of_entries_but_no_content(tmp_path: Path) -> None:
    root = make(tmp_path / "folder", {f"{number}": bytes(100) for number in range(3000)})
    with (root / "large").open("wb") as file:
        os.truncate(file.fileno(), 200 * MIB)

    def read() -> None:
        folder = PackedFolder(str(root))
        seen = hashlib.sha256()
        while data := folder.read(MIB):
            seen.update(data)
        folder.close()

    assert peak_of(read) < 3000 * 1000 + 3 * MIB


def test_no_more_than_one_file_is_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "folder", {f"{number}": b"content" for number in range(100)})
    files = OpenFiles(monkeypatch)
    with open_source(root) as source:
        while source.read(1000):
            pass
    assert (files.most, files.now) == (1, set())


def test_a_folder_with_more_entries_than_fit_is_not_read_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "root", {f"{number}/{each}": b"" for number in range(9) for each in range(9)})
    listed: list[bytes] = []
    scandir = os.scandir

    def list_folder(path: bytes) -> Any:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", list_folder)
    with pytest.raises(errors.FileRefused, match="more than 6000 bytes"):
        PackedFolder(str(root), max_size=6000)
    assert len(listed) == 2
