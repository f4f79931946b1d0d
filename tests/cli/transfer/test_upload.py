"""Uploads: each kind of source, lost connections, and sources that change."""

import errno
import io
import os
import socket
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer import checksum
from opstore_cli.transfer.source import Slice
from opstore_daemon.protocol import checksums, errors, limits
from tests.support.fake_daemon import FakeDaemon
from tests.support.figures import few
from tests.support.transfers import BYTES, Pipe, count_requests, source_file, state_files


@pytest.mark.parametrize("size", few(2, [0, 1, 65_536, 9_000_001]))
def test_every_kind_of_source_is_uploaded_unchanged(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int
) -> None:
    data = BYTES[:size]
    path = source_file(tmp_path, data)
    with path.open("rb") as file:
        for source in (data, path, str(path), file, io.BytesIO(data), cast(BinaryIO, Pipe(data))):
            assert client.push("pca", source).size == size
            assert daemon.versions == [data]
            daemon.versions.clear()
    assert not daemon.uploads


@pytest.mark.parametrize("size", [1, 65_536, limits.SMALL_PUSH])
def test_a_small_push_is_one_request(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int) -> None:
    moved: list[tuple[int, int | None]] = []
    client.progress = lambda done, all_: moved.append((done, all_))
    assert client.push("pca", source_file(tmp_path, BYTES[:size])).size == size
    assert daemon.log == ["POST /v1/ops/pca/versions"]
    assert moved == [(0, size), (size, size)]
    client.push("pca", BYTES[: limits.SMALL_PUSH + 1])
    assert count_requests(daemon, "POST /v1/uploads") == 1


def test_a_small_file_that_changes_while_it_is_read_is_refused(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path, b"bytes")
    for change in (lambda: path.write_bytes(b"byt"), lambda: path.write_bytes(b"longer than before")):
        client.progress = lambda done, _all, change=change: change() if done == 0 else None
        with pytest.raises(errors.FileRefused):
            client.push("pca", path)
    assert daemon.log == []


def test_a_file_object_is_read_from_its_current_position(daemon: FakeDaemon, client: OpStoreClient) -> None:
    source = io.BytesIO(b"head and body")
    source.seek(9)
    client.push("pca", source)
    assert daemon.versions == [b"body"]


def test_a_push_resumes_after_a_lost_connection(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 1), ("PATCH uploads", 0)]
    client.push("pca", source_file(tmp_path))
    assert daemon.versions == [BYTES]
    assert count_requests(daemon, "PATCH") == 4
    assert not state_files(tmp_path / "home")


def test_a_push_of_a_pipe_resumes_after_a_lost_connection(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 1_000_000)]
    client.push("pca", cast(BinaryIO, Pipe(BYTES)))
    assert daemon.versions == [BYTES]


def test_a_refused_push_deletes_its_upload(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    path = source_file(tmp_path)

    def change(done: int, _all: int | None) -> None:
        if done > 4_000_000:
            path.write_bytes(BYTES + b"more")

    client.progress = change
    # Depending on the moment it is shorter, or has changed.
    with pytest.raises(errors.FileRefused, match="while it was read"):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads, state_files(tmp_path / "home")) == ([], {}, [])


def test_a_file_that_becomes_shorter_is_refused(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    client.progress = lambda done, _all: os.truncate(path, 5_000_000) if done == 1024 * 1024 else None
    # Depending on the moment it is shorter, or has changed.
    with pytest.raises(errors.FileRefused, match="while it was read"):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads) == ([], {})


def test_a_missing_file_and_a_text_file_object_are_refused(client: OpStoreClient, tmp_path: Path) -> None:
    refused: list[tuple[Path | BinaryIO, str]] = [
        (tmp_path / "none", "no such file"),
        (cast(BinaryIO, io.StringIO("text")), "non-blocking or text mode"),
    ]
    for source, reason in refused:
        with pytest.raises(errors.FileRefused, match=reason):
            client.push("pca", source)


def test_a_read_error_is_not_reported_as_a_lost_connection(daemon: FakeDaemon, client: OpStoreClient) -> None:
    class Bad(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(errors.FileRefused, match="Input/output error"):
        client.push("pca", Bad(b"12345"))
    assert not daemon.uploads


class _Counted:
    """A checksum that records the size of each update."""

    def __init__(self, sizes: list[int]) -> None:
        self._sum, self._sizes = checksums.new_sum(), sizes

    def update(self, data: bytes) -> None:
        self._sizes.append(len(data))
        self._sum.update(data)

    def hexdigest(self) -> str:
        return self._sum.hexdigest()


def test_each_byte_is_hashed_once_even_if_it_is_sent_again(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(checksum, "new_sum", lambda: _Counted(sizes))
    daemon.faults = [("PATCH uploads", 1_000_000), ("PATCH uploads", 10)]
    client.push("pca", BYTES)
    assert (sum(sizes), daemon.versions) == (len(BYTES), [BYTES])


@pytest.mark.parametrize("kind", ["a path", "bytes", "a stream"])
def test_bytes_that_were_damaged_on_the_way_create_no_version(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, kind: str
) -> None:
    sources: dict[str, Path | bytes | BinaryIO] = {
        "a path": source_file(tmp_path),
        "bytes": BYTES,
        "a stream": Decompressor(BYTES),
    }
    daemon.damages = True
    with pytest.raises(errors.ChecksumMismatch):
        client.push("pca", sources[kind])
    assert (daemon.versions, daemon.uploads, state_files(tmp_path / "home")) == ([], {}, [])


def test_a_file_that_changes_but_keeps_its_size_and_time_creates_no_version(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source_file(tmp_path)
    found, send_to = path.stat(), Slice.send_to

    def changed(part: Slice, to: socket.socket) -> None:
        path.write_bytes(b"!" * len(BYTES))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        send_to(part, to)

    monkeypatch.setattr(Slice, "send_to", changed)
    with pytest.raises(errors.ChecksumMismatch):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads) == ([], {})


class Decompressor(io.BytesIO):
    """Stands for a file object that decompresses, and starts again to seek back; records its seeks."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sought: list[int] = []

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.sought.append(offset)
        return super().seek(offset, whence)


def test_a_file_object_that_is_slow_to_seek_is_read_once_and_in_order(
    daemon: FakeDaemon, client: OpStoreClient
) -> None:
    file = Decompressor(BYTES)
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 10)]
    client.push("pca", file)
    assert (daemon.versions, daemon.sizes["u1"]) == ([BYTES], len(BYTES))
    assert file.sought == [0, 0], "to find its size, and never again"


def test_a_file_object_that_is_shorter_than_its_size_creates_no_version(
    daemon: FakeDaemon, client: OpStoreClient
) -> None:
    class Shorter(Decompressor):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, len(BYTES) - 1 - self.tell()))

    with pytest.raises(errors.FileRefused, match="it became shorter while it was read"):
        client.push("pca", Shorter(BYTES))
    assert (daemon.versions, daemon.uploads) == ([], {})


def test_a_read_error_ends_the_push(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", fails)
    with pytest.raises(errors.FileRefused, match="Input/output error"):
        client.push("pca", source_file(tmp_path))
    assert (daemon.versions, daemon.uploads) == ([], {})
