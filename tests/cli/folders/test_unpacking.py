"""Unpacking: whatever a stream contains, nothing is written outside the folder."""

import errno
import os
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_cli.folders import unpacking
from opstore_cli.folders.unpacking import unpack
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.folder_format import END, FILE, FOLDER, LINK, Entry, InvalidFolder, header, padding
from tests.cli.folders.trees import SAMPLE, described, make, member, packed, plain, tar
from tests.support.faults import fails
from tests.support.open_files import OpenFiles, open_below

MIB = 1024 * 1024


def in_pieces(content: bytes, size: int = 700) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def unpacked(content: bytes, out: Path, size: int = 700) -> dict[str, bytes | str | None]:
    out.mkdir()
    unpack(in_pieces(content, size), out, out)
    return described(out)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 10_000_000])
def test_packing_an_unpacked_folder_gives_the_same_bytes(tmp_path: Path, size: int) -> None:
    content = packed(make(tmp_path / "folder", SAMPLE))
    assert unpacked(content, tmp_path / "out", size) == plain(SAMPLE)
    assert packed(tmp_path / "out") == content


def test_the_umask_applies(tmp_path: Path) -> None:
    content = packed(make(tmp_path / "folder", SAMPLE))
    before = os.umask(0o077)
    try:
        unpacked(content, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {name: (tmp_path / "out" / name).stat().st_mode & 0o777 for name in ("a", "a.b", "run")}
    assert modes == {"a": 0o700, "a.b": 0o600, "run": 0o700}


# --- hostile streams --------------------------------------------------------------------------------------------------


def ours(*entries: Entry) -> bytes:
    """Return a stream of these entries, valid or not, with headers in the form that opstore writes."""
    return b"".join(header(entry) + bytes(entry.size + padding(entry.size)) for entry in entries) + END


def entry(path: str, kind: bytes = FILE, target: str = "", size: int = 0) -> Entry:
    return Entry(path.encode(), kind, size=size, target=target.encode())


# Streams by name; each function gets the path of a file beside the target.
HOSTILE: dict[str, Callable[[str], bytes]] = {
    # Written with our own headers.
    "a parent path": lambda _: ours(entry("../victim")),
    "a parent path further on": lambda _: ours(entry("a", FOLDER), entry("a/../../victim")),
    "an absolute path": lambda victim: ours(entry(victim)),
    "the parent as a folder": lambda _: ours(entry("..", FOLDER), entry("../victim")),
    "an absolute link": lambda victim: ours(entry("link", LINK, victim)),
    "a link to the parent": lambda _: ours(entry("link", LINK, "..")),
    "a link out": lambda _: ours(entry("link", LINK, "../victim")),
    "a link out of a folder": lambda _: ours(entry("a", FOLDER), entry("a/link", LINK, "../../victim")),
    "a link out by way of a link": lambda _: ours(
        entry("a", FOLDER), entry("a/link", LINK, ".."), entry("b", LINK, "a/link/../victim")
    ),
    "a file through a link": lambda _: ours(entry("link", LINK, "."), entry("link/file")),
    "a file through a link out": lambda _: ours(entry("link", LINK, ".."), entry("link/victim")),
    "a folder through a link": lambda _: ours(entry("link", LINK, "."), entry("link/folder", FOLDER)),
    "a file in place of a link": lambda _: ours(entry("link", LINK, "file"), entry("link")),
    "a link in place of a folder": lambda _: ours(entry("a", FOLDER), entry("a", LINK, "."), entry("a/file")),
    "a file below a file": lambda _: ours(entry("a"), entry("a/file")),
    "a file in no folder": lambda _: ours(entry("a/file")),
    "the same file twice": lambda _: ours(entry("a"), entry("a")),
    "entries out of order": lambda _: ours(entry("b"), entry("a")),
    "a folder after what is in it": lambda _: ours(entry("a", FOLDER), entry("a/b"), entry("a", FOLDER)),
    "an empty name": lambda _: ours(entry("")),
    "the folder itself": lambda _: ours(entry(".", FOLDER)),
    "a dot in the path": lambda _: ours(entry("a", FOLDER), entry("a/./b")),
    "two slashes": lambda _: ours(entry("a", FOLDER), entry("a//b")),
    "a NUL in a long name": lambda _: ours(entry("n" * 120 + "\0/../../victim")),
    "a link to nothing": lambda _: ours(entry("link", LINK, "")),
    "a folder with content": lambda _: ours(Entry(b"a", FOLDER, size=512)),
    "a link with content": lambda _: ours(Entry(b"a", LINK, size=512, target=b"b")),
    "a file with a link": lambda _: ours(Entry(b"a", FILE, target=b"b")),
    # Written by tarfile.
    "a hard link out": lambda _: tar(member("a", tarfile.LNKTYPE, "../victim")),
    "a hard link": lambda _: tar(member("a"), member("b", tarfile.LNKTYPE, "a")),
    "a device": lambda _: tar(member("a", tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a disk": lambda _: tar(member("a", tarfile.BLKTYPE, devmajor=8)),
    "a pipe": lambda _: tar(member("a", tarfile.FIFOTYPE)),
    "a sparse file": lambda _: tar(member("a", tarfile.GNUTYPE_SPARSE)),
    "a contiguous file": lambda _: tar(member("a", tarfile.CONTTYPE)),
    "an old kind of file": lambda _: tar(member("a", tarfile.AREGTYPE)),
    "a long name of GNU's": lambda _: tar(member("n" * 200), format=tarfile.GNU_FORMAT),
    "a mode that runs as its owner": lambda _: tar(member("a", mode=0o4755)),
    "a mode that all may write": lambda _: tar(member("a", mode=0o666)),
    "an owner": lambda _: tar(member("a", uid=1000)),
    "the name of an owner": lambda _: tar(member("a", uname="root")),
    "a time": lambda _: tar(member("a", mtime=1)),
    "a header for all files": lambda _: tar(member("a"), format=tarfile.PAX_FORMAT, pax_headers={"path": "../victim"}),
    "another path in an extended header": lambda _: tar(member("a", pax_headers={"path": "../victim"})),
    "another target in an extended header": lambda _: tar(
        member("a", tarfile.SYMTYPE, "b", pax_headers={"linkpath": "../victim"})
    ),
    "another size in an extended header": lambda _: tar(member("a", size=512, pax_headers={"size": "0"})),
    "a sparse file in an extended header": lambda _: tar(
        member("a", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "../victim"})
    ),
    "a comment": lambda _: tar(member("a", pax_headers={"comment": "this is not needed"})),
    # Cut off, or with bytes added.
    "nothing": lambda _: b"",
    "one block of zeros": lambda _: bytes(512),
    "a block of zeros and another": lambda _: bytes(512) + header(entry("a")) + END,
    "no end": lambda _: ours(entry("a", size=10))[:-1024],
    "half of a file": lambda _: ours(entry("a", size=1000))[:700],
    "half of a header": lambda _: ours(entry("a"))[:300],
    "more after the end": lambda _: ours(entry("a")) + b"\0",
    "a second archive": lambda _: ours(entry("a")) + ours(entry("b")),
    "a block that is filled up with something": lambda _: ours(entry("a", size=1))[:-1025] + b"x" + END,
    "no tar": lambda _: b"PK\x03\x04" + bytes(2000),
    "an endless header": lambda _: _extended(b"0" * 11),
    "a header of a gigabyte": lambda _: _extended(b"%011o" % 2**30),
    "a header of less than nothing": lambda _: _extended(b"-0000000001"),
    "a record without an end": lambda _: _extended(b"%011o" % 20, b"9999 path=a\n"),
    "a record of no length": lambda _: _extended(b"%011o" % 20, b"0 path=a\n"),
    "a record of less than itself": lambda _: _extended(b"%011o" % 20, b"3 path=a\n"),
    "a size in words": lambda _: _extended(b"%011o" % 14, b"14 size=many!\n"),
}


def _extended(size: bytes, records: bytes = b"") -> bytes:
    block = bytearray(header(entry("ü"))[:512])
    block[124:135] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + records.ljust(512, b"\0") + ours(entry("a"))


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_stream_is_refused_and_changes_nothing_outside(tmp_path: Path, what: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"dear")
    with pytest.raises(InvalidFolder):
        unpacked(HOSTILE[what](str(victim)), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "victim"]
    assert (victim.read_bytes(), victim.is_symlink(), victim.stat().st_nlink) == (b"dear", False, 1)
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_symlink() or path.is_dir() or path.is_file()
        assert not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to((tmp_path / "out").resolve())


def test_the_reason_names_the_entry(tmp_path: Path) -> None:
    with pytest.raises(InvalidFolder, match=r"'a/link': the link's target '\.\./\.\./b' is outside the folder"):
        unpacked(ours(entry("a", FOLDER), entry("a/link", LINK, "../../b")), tmp_path / "out")
    with pytest.raises(InvalidFolder, match="'link/b' is in a folder that does not come before it"):
        unpacked(ours(entry("link", LINK, "."), entry("link/b")), tmp_path / "other")
    with pytest.raises(InvalidFolder, match="type '3'"):
        unpacked(tar(member("a", tarfile.CHRTYPE)), tmp_path / "third")


@given(st.data())
def test_a_damaged_stream_changes_nothing_outside(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzzed")
    content = bytearray(packed(make(folder / "folder", SAMPLE)))
    before = described(folder)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from(b"\0./0257x\xff"))
    out = folder / "out"
    try:
        unpacked(bytes(content), out)
    except (InvalidFolder, errors.OutputFailed):
        pass
    else:
        assert packed(out) == bytes(content)
    assert {name: what for name, what in described(folder).items() if not name.startswith("out")} == before


def test_two_names_that_are_one_on_this_file_system_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def insensitive(path: Any, flags: int, *arguments: Any) -> int:
        return really_open(path.replace(b"/out/B", b"/out/b"), flags, *arguments)

    monkeypatch.setattr(os, "open", insensitive)
    with pytest.raises(InvalidFolder, match="'b' is another entry's name on this file system"):
        unpacked(ours(entry("B"), entry("b")), tmp_path / "out")


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_every_file_and_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    really = os.fsync

    def sync(descriptor: int) -> None:
        really(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", sync)
    unpacked(packed(make(tmp_path / "folder", SAMPLE)), tmp_path / "out")
    written = [path for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")] if not path.is_symlink()]
    assert {path.stat().st_ino for path in written} == synced


@pytest.mark.parametrize("call", ["open", "write", "mkdir", "symlink", "fsync"])
def test_a_failing_disk_raises_output_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    content = packed(make(tmp_path / "folder", SAMPLE))
    out = tmp_path / "out"
    out.mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails(errno.ENOSPC))
        with pytest.raises(errors.OutputFailed, match="No space left on device") as caught:
            unpack(in_pieces(content), out, tmp_path / "target")
    assert str(caught.value.details["path"]).startswith(str(tmp_path / "target"))
    assert open_below(tmp_path) == []


@pytest.mark.slow
def test_memory_and_open_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Entry(b"large", FILE, size=100 * MIB)
    small = [entry(f"m{number:05}", size=100) for number in range(2000)]

    def stream() -> Iterator[bytes]:
        yield header(large)
        for _ in range(100):
            yield bytes(MIB)
        for each in small:
            yield header(each) + bytes(512)
        yield END

    files = OpenFiles(monkeypatch)
    out = tmp_path / "out"
    out.mkdir()
    tracemalloc.start()
    unpack(stream(), out, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB
    assert (files.most <= unpacking.MAX_WAITING + 2, files.now) == (True, set())
    assert len(os.listdir(out)) == 2001
