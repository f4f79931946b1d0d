"""The members of a folder, found in its stream by its headers."""

import os
from pathlib import Path

import pytest

from opstore_cli.folders import members
from opstore_cli.folders.members import Members, read_members
from opstore_cli.folders.packing import PackedFolder
from opstore_daemon.protocol.folder_format import FILE, FOLDER, InvalidFolder
from tests.support.random_bytes import random_bytes


def stream_of(root: Path) -> bytes:
    packed = PackedFolder(str(root))
    try:
        return packed.read()
    finally:
        packed.close()


class Stream:
    """A stream that is read in ranges, and how many bytes and requests that took."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.received = self.requests = 0

    def read(self, start: int, end: int) -> bytes:
        self.received, self.requests = self.received + end - start, self.requests + 1
        assert 0 <= start < end <= len(self.data)
        return self.data[start:end]

    def members(self) -> Members:
        return read_members(self.read, len(self.data))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "deep" / ("n" * 120)).mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a" * 700)
    (root / "deep" / ("n" * 120) / "é").write_bytes(b"e")
    os.symlink("../a.txt", root / "deep" / "up")
    os.symlink("deep", root / "link")
    os.symlink("loop", root / "loop")
    return root


def test_members_are_found_with_the_place_of_their_content(root: Path) -> None:
    stream = Stream(stream_of(root))
    found = stream.members()
    for path in ("a.txt", "deep/up", "link/up", f"link/{'n' * 120}/é"):
        member = found.find(path)
        assert member is not None
        assert member.entry.kind == FILE
        assert stream.data[member.offset : member.offset + member.entry.size] == (root / path).read_bytes()
    assert found.children("") == ["a.txt", "deep", "link", "loop"]
    assert found.children("deep") == [f"deep/{'n' * 120}", "deep/up"]
    deep = found.find("link")
    assert deep is not None
    assert (deep.entry.kind, deep.entry.path) == (FOLDER, b"deep")
    for path in ("loop", "nothing", "a.txt/x", "deep/nothing", "loop/x", "..", "a.txt/.."):
        assert found.find(path) is None


def test_few_bytes_are_read_of_large_files(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_bytes(random_bytes(1_000_000, number))
    stream = Stream(stream_of(tmp_path))
    assert len(stream.members().children("")) == 5
    assert stream.received <= 6 * members.MIN_READ
    assert stream.requests == 6


def test_few_requests_are_needed_for_many_small_files(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number:04}").write_bytes(b"x" * 600)
    stream = Stream(stream_of(tmp_path))
    assert len(stream.members().children("")) == 2000
    assert stream.received <= len(stream.data)
    assert stream.requests <= 10


@pytest.mark.parametrize("cut", [0, 512, 700, 1536])
def test_a_stream_that_ends_early_is_refused(root: Path, cut: int) -> None:
    with pytest.raises(InvalidFolder, match="it ends early"):
        Stream(stream_of(root)[:cut]).members()


def test_a_stream_in_another_form_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stream_of(root)
    with pytest.raises(InvalidFolder, match="not in the form"):
        Stream(data[:100] + b"1" + data[101:]).members()
    first, second = data[:1536], data[1536:]
    with pytest.raises(InvalidFolder, match="duplicated or out of order"):
        Stream(first + first + second).members()
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    with pytest.raises(InvalidFolder, match="more than 3 entries"):
        Stream(data).members()
