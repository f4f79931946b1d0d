"""The listing of a folder from its stream, in pieces of any size."""

import hashlib
from pathlib import Path

import pytest

from opstore_cli.folders import listing
from opstore_cli.folders.listing import FolderLister
from opstore_cli.folders.packing import PackedFolder
from opstore_daemon.protocol.folder_format import InvalidFolder


@pytest.fixture
def stream(tmp_path: Path) -> bytes:
    root = tmp_path / "folder"
    (root / "deep" / ("n" * 120)).mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a" * 700)
    (root / "deep" / ("n" * 120) / "empty").touch()
    (root / "link").symlink_to("a.txt")
    packed = PackedFolder(str(root))
    data = b""
    while piece := packed.read(1024):
        data += piece
    packed.close()
    return data


@pytest.mark.parametrize("size", [1, 511, 512, 513, 10**6])
def test_entries_and_digests_do_not_depend_on_the_pieces(stream: bytes, size: int) -> None:
    lister = FolderLister()
    for start in range(0, len(stream), size):
        lister.write(memoryview(stream)[start : start + size])
    lister.flush()
    deep = f"deep/{'n' * 120}"
    names = ["a.txt", "deep", deep, f"{deep}/empty", "link"]
    assert [path.decode() for path in lister.entries] == names
    assert lister.entries[b"a.txt"].digest == hashlib.sha256(b"a" * 700).digest()
    assert lister.entries[b"link"].entry.target == b"a.txt"


def test_a_stream_that_is_not_a_whole_folder_is_refused(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    lister = FolderLister()
    lister.write(stream[:-512])
    with pytest.raises(InvalidFolder, match="it ends early"):
        lister.flush()
    with pytest.raises(InvalidFolder, match="bytes after its end"):
        FolderLister().write(stream + b"x")
    with pytest.raises(InvalidFolder, match="duplicated"):
        FolderLister().write(stream[:-1024] + stream)
    monkeypatch.setattr(listing, "MAX_ENTRIES", 2)
    with pytest.raises(InvalidFolder, match="more than 2 entries"):
        FolderLister().write(stream)
