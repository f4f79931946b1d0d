"""Reading: which bytes travel, and which are verified."""

import hashlib
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.fsspec import OpStoreFileSystem, observers, reading
from opstore_daemon.protocol import errors
from tests.cli.fsspec.conftest import CountingClient
from tests.support.random_bytes import random_bytes

MIB = 1024 * 1024
DATA = random_bytes(6 * MIB)


def read_all(file: Any, size: int) -> None:
    while file.read(size):
        pass


@pytest.fixture
def large(client: CountingClient, monkeypatch: pytest.MonkeyPatch) -> CountingClient:
    """A client of a store with a version that is too large to be pulled whole."""
    monkeypatch.setattr(reading, "WHOLE", 4 * MIB)
    client.push("model", DATA)
    return client


def test_small_reads_of_a_large_version_move_few_bytes(large: CountingClient, fs: OpStoreFileSystem) -> None:
    with fs.open("model") as file:
        assert file.read(10) == DATA[:10]
        file.seek(-100, io.SEEK_END)
        assert file.read() == DATA[-100:]
        file.seek(3 * MIB)
        assert file.read(100) == DATA[3 * MIB : 3 * MIB + 100]
        assert (file.tell(), file.size, file.seekable()) == (3 * MIB + 100, 6 * MIB, True)
    assert large.fetched == 3
    assert large.received <= 2 * (reading.AHEAD + 100) + 100
    assert fs.cat_file("model", 5, 9) == DATA[5:9]
    assert fs.head("model", 7) == DATA[:7]
    assert fs.tail("model", 7) == DATA[-7:]


def test_more_is_read_ahead_while_a_file_is_read_in_order(large: CountingClient, fs: OpStoreFileSystem) -> None:
    with fs.open("model") as file:
        read_all(file, 64 * 1024)
        assert (large.fetched, large.received) == (5, 6 * MIB)
        file.seek(MIB)
        file.read(10)
    assert large.received == 6 * MIB + 10 + reading.AHEAD


def test_the_bytes_read_ahead_can_be_set(large: CountingClient, fs: OpStoreFileSystem) -> None:
    with fs.open("model", block_size=1000) as file:
        file.read(10)
    assert large.received == 1010
    with fs.open("model", cache_type="none") as file:
        file.read(10)
    assert large.received == 1020


def test_a_small_version_is_pulled_whole_once(client: CountingClient, fs: OpStoreFileSystem) -> None:
    client.push("pca", b"components")
    for _ in range(2):
        with fs.open("pca") as file:
            assert (file.read(4), file.seek(8), file.read(), file.read()) == (b"comp", 8, b"ts", b"")
            assert (str(file.version), file.full_name) == ("pca@1.0.0", "opstore://pca")
    assert (client.fetched, client.received) == (1, 10)


def test_a_large_version_that_is_in_the_cache_is_read_from_there(large: CountingClient, fs: OpStoreFileSystem) -> None:
    path = large.path("model")
    with fs.open("model") as file:
        file.seek(2 * MIB)
        assert file.read(100) == DATA[2 * MIB : 2 * MIB + 100]
    assert large.fetched == 1
    assert path.exists()


def test_whole_pulls_any_version_and_whole_false_none(large: CountingClient, ranges: OpStoreFileSystem) -> None:
    with OpStoreFileSystem(client=large, whole=True).open("model") as file:
        file.read(1)
    assert large.received == 6 * MIB
    with ranges.open("model", block_size=100) as file:
        file.read(1)
    assert large.received == 6 * MIB + 101


@pytest.mark.parametrize("size", [-1, MIB, 100_001])
def test_wrong_bytes_are_reported_with_the_last_of_them(
    large: CountingClient, fs: OpStoreFileSystem, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    wrong = b"X" + DATA[1:]
    monkeypatch.setattr(reading.Content, "read", lambda self, start, end: wrong[start:end])
    with fs.open("model") as file, pytest.raises(errors.DigestMismatch, match=hashlib.sha256(wrong).hexdigest()):
        read_all(file, size)


def test_all_bytes_are_verified_also_after_seeks_back(
    large: CountingClient, fs: OpStoreFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fs.open("model") as file:
        file.read(1000)
        file.seek(500)
        assert file.read() == DATA[500:]
    monkeypatch.setattr(reading.Content, "read", lambda self, start, end: (DATA[:-1] + b"?")[start:end])
    with fs.open("model") as file:
        file.read(1000)
        file.seek(500)
        file.read(2 * MIB)
        file.seek(-1, io.SEEK_END)
        assert file.read() == b"?"  # a range by itself is not verified
        file.seek(0)
        with pytest.raises(errors.DigestMismatch):
            file.read()


def test_wrong_bytes_never_come_from_the_cache(client: CountingClient, fs: OpStoreFileSystem, cache: Path) -> None:
    client.push("pca", b"components")
    assert fs.cat("pca") == b"components"
    entry = cache / hashlib.sha256(b"components").hexdigest()
    entry.chmod(0o600)
    entry.write_bytes(b"COMPONENTS")
    assert fs.cat("pca") == b"components"
    assert client.fetched == 2


def test_without_a_cache_everything_is_read_in_ranges(
    client: CountingClient, fs: OpStoreFileSystem, folder: Path, cache: Path
) -> None:
    cache.touch()  # a file is in its place
    client.push("pca", b"components")
    client.push("tokenizer", folder)
    assert fs.cat("pca") == b"components"
    assert fs.cat("tokenizer/vocab.txt") == b"a\nb\n"


@pytest.mark.parametrize("whole", [None, False], ids=["cache", "ranges"])
def test_files_of_a_folder_are_read(client: CountingClient, folder: Path, whole: bool | None) -> None:
    client.push("tokenizer", folder)
    fs = OpStoreFileSystem(client=client, whole=whole)
    for name in ("vocab.txt", "merges", "deep/merges.bin", "folder_link/er/n.json"):
        assert fs.cat(f"tokenizer@1.0.0/{name}") == (folder / name).read_bytes()
    with fs.open("tokenizer/deep/merges.bin") as file:
        file.seek(2990)
        assert file.read(100) == b"m" * 10
    with pytest.raises(IsADirectoryError, match="opstore://tokenizer is a folder") as refused:
        fs.open("tokenizer")
    assert "opstore://tokenizer/deep" in refused.value.__notes__[0]


def test_a_file_of_a_large_folder_is_read_without_the_others(
    client: CountingClient, ranges: OpStoreFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "big").mkdir()
    for name in "abc":
        (tmp_path / "big" / f"{name}.bin").write_bytes(random_bytes(2 * MIB, ord(name)))
    (tmp_path / "big" / "config.json").write_text("{}")
    client.push("big", tmp_path / "big")
    assert ranges.cat("big/config.json") == b"{}"
    assert client.received < 200_000
    with ranges.open("big/b.bin", block_size=0) as file:
        file.seek(MIB)
        assert file.read(10) == random_bytes(2 * MIB, ord("b"))[MIB : MIB + 10]
    assert client.received < 200_000


def test_a_stream_that_is_no_folder_is_refused(client: CountingClient, ranges: OpStoreFileSystem, fs: Any) -> None:
    client.push("odd", b"x" * 5000, format="folder")
    for each in (ranges, fs):
        with pytest.raises(errors.FolderRefused):
            each.ls("odd@1.0.0")


def test_an_open_file_stays_with_its_version(client: CountingClient, ranges: OpStoreFileSystem) -> None:
    client.push("pca", b"one")
    file = ranges.open("pca")
    client.push("pca", b"another")
    assert (file.read(), str(file.version)) == (b"one", "pca@1.0.0")
    file.close()


def test_text_lines_and_compression(client: CountingClient, fs: OpStoreFileSystem) -> None:
    with fs.open("words.txt.gz", "w", compression="infer", encoding="utf-8") as file:
        file.write("é\nb\n")
    assert client.pull("words.txt.gz")[:2] == b"\x1f\x8b"
    with fs.open("words.txt.gz", "r", compression="infer", encoding="utf-8") as file:
        assert list(file) == ["é\n", "b\n"]
    assert fs.read_text("words.txt.gz", compression="gzip", encoding="utf-8") == "é\nb\n"


def test_lines_are_read_without_a_copy_of_a_block_for_each(
    client: CountingClient, fs: OpStoreFileSystem, ranges: OpStoreFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [b"%d %s\n" % (number, b"x" * (number % 200)) for number in range(2000)] + [b"x" * 20_000, b"the last"]
    lines[-2] += b"\n"
    client.push("lines", b"".join(lines))
    copied = 0
    original = reading.OpStoreReader.read

    def read(file: Any, length: int = -1) -> bytes:
        nonlocal copied
        data = original(file, length)
        copied += len(data)
        return data

    monkeypatch.setattr(reading.OpStoreReader, "read", read)
    for each in (fs, ranges):
        with each.open("lines") as file:
            assert file.readline() == lines[0]
            assert list(file) == lines[1:]
            assert (file.readline(), file.tell()) == (b"", file.size)
    assert copied <= (len(lines) + 10) * reading.LINE


def test_a_reader_can_be_pickled_only_with_a_client_that_can(client: CountingClient, fs: OpStoreFileSystem) -> None:
    client.push("pca", b"components")
    with fs.open("pca") as file:
        file.read(3)
        made, arguments = file.__reduce__()
        again = made(*arguments)
        assert (again.read(), again.path) == (b"ponents", "pca@1.0.0")
        again.close()
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(file)  # that of a server in this process


def test_threads_read_at_once(client: CountingClient, ranges: OpStoreFileSystem, folder: Path) -> None:
    client.push("tokenizer", folder)
    names = ["vocab.txt", "merges", "deep/er/n.json"] * 5
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: ranges.cat(f"tokenizer/{name}"), names))
    assert found == [(folder / name).read_bytes() for name in names]


def test_the_members_of_few_folders_are_kept(client: CountingClient, fs: OpStoreFileSystem, tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_text(str(number))
        client.push("many", tmp_path / str(number))
    assert len(fs.find("many")) == 10
    assert len(fs._folders) == 8


def test_an_observer_sees_which_versions_are_read_and_stored(client: CountingClient, fs: OpStoreFileSystem) -> None:
    seen: list[Any] = []
    observers.append(seen.append)
    try:
        with fs.open("pca", "wb") as file:
            file.write(b"components")
        fs.cat("opstore://pca@latest")
    finally:
        observers.remove(seen.append)
    assert [(each.path, str(each.version), each.is_write) for each in seen] == [
        ("pca", "pca@1.0.0", True),
        ("pca@latest", "pca@1.0.0", False),
    ]


def test_an_unknown_option_of_a_read_is_refused(client: CountingClient, fs: OpStoreFileSystem) -> None:
    client.push("pca", b"components")
    with pytest.raises(errors.InvalidRequest, match="no option 'whole' for reading"):
        fs.open("pca", whole=True)
