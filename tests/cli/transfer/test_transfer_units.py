"""Transfers that break: they go on where they stopped, or leave nothing."""

import errno
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.files.part_file import PartFile
from opstore_cli.transfer import checksum, retry
from opstore_cli.transfer.checksum import SourceChecksum
from opstore_cli.transfer.resume_state import StateFile, TransferState, recorded_transfers
from opstore_cli.transfer.source import Slice, Source, open_source
from opstore_cli.transport import adapter
from opstore_daemon.protocol import checksums, digests, errors, limits, routes, samples
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from tests.cli.folders.trees import make, packed
from tests.support.fake_daemon import TOKEN, FakeDaemon, sample_of_bytes

BYTES = os.urandom(9_000_001)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS", (0.0,) * 5)
    monkeypatch.setattr(adapter, "BACKOFF", 0.0)
    monkeypatch.setattr(adapter, "JITTER", 0.0)


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon() as fake:
        yield fake


@pytest.fixture
def client(daemon: FakeDaemon, tmp_path: Path) -> Iterator[OpStoreClient]:
    with OpStoreClient(settings=Settings(home=tmp_path / "home").with_url(daemon.url), token=TOKEN) as made:
        yield made


def _file(folder: Path, data: bytes = BYTES) -> Path:
    path = folder / "source.bin"
    path.write_bytes(data)
    return path


def _notes(home: Path) -> list[Path]:
    folder = home / "transfers"
    return list(folder.iterdir()) if folder.exists() else []


def _left(folder: Path) -> list[Path]:
    """What is in it besides the client's own."""
    return [path for path in folder.iterdir() if path.name != "home"]


def _count(daemon: FakeDaemon, request: str) -> int:
    return sum(line.startswith(request) for line in daemon.log)


class Pipe(io.RawIOBase):
    """A stream that can't go back, and gives few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))[:70_000]
        return self._data.readinto(view)


# --- push -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_536, 9_000_001])
def test_bytes_a_file_a_file_object_and_a_pipe_arrive_as_they_are(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int
) -> None:
    data = BYTES[:size]
    path = _file(tmp_path, data)
    with path.open("rb") as file:
        for source in (data, path, str(path), file, io.BytesIO(data), cast(BinaryIO, Pipe(data))):
            assert client.push("pca", source).size == size
            assert daemon.versions == [data]
            daemon.versions.clear()
    assert not daemon.uploads


@pytest.mark.parametrize("size", [1, 65_536, limits.SMALL_PUSH])
def test_a_few_bytes_go_with_the_request_that_makes_the_version(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int
) -> None:
    moved: list[tuple[int, int | None]] = []
    client.progress = lambda done, all_: moved.append((done, all_))
    assert client.push("pca", _file(tmp_path, BYTES[:size])).size == size
    assert daemon.log == ["POST /v1/ops/pca/versions"]
    assert moved == [(0, size), (size, size)]
    client.push("pca", BYTES[: limits.SMALL_PUSH + 1])
    assert _count(daemon, "POST /v1/uploads") == 1


def test_a_few_bytes_that_change_while_they_are_read_are_refused(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = _file(tmp_path, b"bytes")
    for change in (lambda: path.write_bytes(b"byt"), lambda: path.write_bytes(b"longer than before")):
        client.progress = lambda done, _all, change=change: change() if done == 0 else None  # type: ignore[misc]
        with pytest.raises(errors.FileRefused):
            client.push("pca", path)
    assert daemon.log == []


def test_a_file_object_is_read_from_where_it_stands(daemon: FakeDaemon, client: OpStoreClient) -> None:
    source = io.BytesIO(b"head and body")
    source.seek(9)
    client.push("pca", source)
    assert daemon.versions == [b"body"]


def test_a_push_goes_on_where_the_line_broke(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 1), ("PATCH uploads", 0)]
    client.push("pca", _file(tmp_path))
    assert daemon.versions == [BYTES]
    assert _count(daemon, "PATCH") == 4
    assert not _notes(tmp_path / "home")


def test_a_pipe_goes_on_where_the_line_broke(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 1_000_000)]
    client.push("pca", cast(BinaryIO, Pipe(BYTES)))
    assert daemon.versions == [BYTES]


def test_without_progress_a_push_gives_up_and_the_next_process_goes_on(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.faults = [("PATCH uploads", 5_000_000)] + [("PATCH uploads", 0)] * 6
    path = _file(tmp_path)
    with pytest.raises(errors.ConnectionLost):
        client.push("pca", path)
    assert [len(_notes(tmp_path / "home")), len(daemon.uploads["u1"])] == [1, 5_000_000]
    moved: list[int] = []
    client.progress = lambda done, _all: moved.append(done)
    client.push("pca", path)
    assert daemon.versions == [BYTES]
    assert list(daemon.sizes) == ["u1"]
    assert moved[0] == 5_000_000
    assert not _notes(tmp_path / "home")


def test_what_an_earlier_process_left_is_not_trusted(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.faults = [("PATCH uploads", 5_000_000)] + [("PATCH uploads", 0)] * 6
    path = _file(tmp_path)
    with pytest.raises(errors.ConnectionLost):
        client.push("pca", path)
    daemon.uploads["u1"][17] ^= 1
    client.push("pca", path)
    assert daemon.versions == [BYTES]
    assert list(daemon.sizes) == ["u1", "u2"]


def a_note(upload: str) -> TransferState:
    return TransferState(way="push", daemon="local", path="/source", size=5, upload=upload)


def test_an_upload_that_is_gone_is_begun_anew(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    path = _file(tmp_path)
    state = path.stat()
    what = ("push", daemon.url, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    with StateFile.acquire(tmp_path / "home", *what) as note:
        assert note is not None
        note.write(a_note("gone"))
    client.push("pca", path)
    assert "GET /v1/uploads/gone" in daemon.log
    assert daemon.versions == [BYTES]


def test_a_push_of_the_same_file_to_another_op_by_another_path_goes_on(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.faults = [("PATCH uploads", 5_000_000)] + [("PATCH uploads", 0)] * 6
    path = _file(tmp_path)
    with pytest.raises(errors.ConnectionLost):
        client.push("pca", path)
    moved: list[int] = []
    client.progress = lambda done, _all: moved.append(done)
    monkeypatch.chdir(tmp_path)
    client.push("lda", path.name, new=True, labels={"other": "words"})
    assert (moved[0], list(daemon.sizes), daemon.versions) == (5_000_000, ["u1"], [BYTES])


def test_a_note_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with StateFile.acquire(tmp_path, "x") as first, StateFile.acquire(tmp_path, "x") as second:
        assert first is not None
        assert second is None
        first.write(a_note("u1"))
        assert recorded_transfers(tmp_path, "local") == [(a_note("u1"), True)]
    assert recorded_transfers(tmp_path, "local") == [(a_note("u1"), False)]
    assert recorded_transfers(tmp_path, "https://elsewhere") == []


def test_a_note_that_is_no_upload_id_is_not_asked_for(tmp_path: Path) -> None:
    with StateFile.acquire(tmp_path, "x") as note:
        assert note is not None
        note.write(a_note("../../ops"))
        assert note.read() is None


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"way": "push", "path": 1, "size": 1}', "x" * 100_000])
def test_what_is_no_note_is_none(tmp_path: Path, text: str) -> None:
    with StateFile.acquire(tmp_path, "x"):
        pass
    (path,) = (tmp_path / "transfers").iterdir()
    path.write_text(text)
    assert recorded_transfers(tmp_path, "local") == []
    with StateFile.acquire(tmp_path, "x") as note:
        assert note is not None
        assert note.read() is None


def test_a_refusal_throws_the_upload_away(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    path = _file(tmp_path)

    def change(done: int, _all: int | None) -> None:
        if done > 4_000_000:
            path.write_bytes(BYTES + b"more")

    client.progress = change
    # Whether it was shorter for a moment or had changed depends on when it was looked at.
    with pytest.raises(errors.FileRefused, match="while it was read"):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads, _notes(tmp_path / "home")) == ([], {}, [])


def test_a_file_that_becomes_shorter_is_refused(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    path = _file(tmp_path)
    client.progress = lambda done, _all: os.truncate(path, 5_000_000) if done == 1024 * 1024 else None
    # That it is shorter, or that it changed: who is at it at that moment says so.
    with pytest.raises(errors.FileRefused, match="while it was read"):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads) == ([], {})


def test_a_part_of_a_file_that_became_shorter_is_refused_by_who_sends_it(tmp_path: Path) -> None:
    path = _file(tmp_path)
    ours, theirs = socket.socketpair()
    with ours, theirs, open_source(path) as source:
        os.truncate(path, 1000)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            Slice(source, 990, 20).send_to(ours)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            SourceChecksum(source).extend_to(1010)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            source.sample()
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            source.digest(lambda _done: None)


def test_a_missing_file_and_text_are_refused(client: OpStoreClient, tmp_path: Path) -> None:
    refused: list[tuple[Path | BinaryIO, str]] = [
        (tmp_path / "none", "no such file"),
        (cast(BinaryIO, io.StringIO("text")), "opened as text"),
    ]
    for source, reason in refused:
        with pytest.raises(errors.FileRefused, match=reason):
            client.push("pca", source)


def test_a_failure_to_read_is_not_taken_for_a_broken_line(daemon: FakeDaemon, client: OpStoreClient) -> None:
    class Bad(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(errors.FileRefused, match="Input/output error"):
        client.push("pca", Bad(b"12345"))
    assert not daemon.uploads


class _Counted:
    """A sum that says how much it has seen."""

    def __init__(self, seen: list[int]) -> None:
        self._sum, self._seen = checksums.new_sum(), seen

    def update(self, data: bytes) -> None:
        self._seen.append(len(data))
        self._sum.update(data)

    def hexdigest(self) -> str:
        return self._sum.hexdigest()


def test_each_byte_is_summed_once_whatever_is_sent_again(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(checksum, "new_sum", lambda: _Counted(seen))
    daemon.faults = [("PATCH uploads", 1_000_000), ("PATCH uploads", 10)]
    client.push("pca", BYTES)
    assert (sum(seen), daemon.versions) == (len(BYTES), [BYTES])


# --- bytes that the store has ---------------------------------------------------------------------------------------


ASKED = [sample_of_bytes(BYTES), f"intact {sample_of_bytes(BYTES)}", digest_of(BYTES)]


@pytest.mark.parametrize("kind", ["a path", "bytes", "an open file"])
def test_bytes_that_the_store_has_are_not_sent(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, kind: str
) -> None:
    daemon.versions = [b"another", BYTES]
    moved: list[int] = []
    client.progress = lambda done, _all: moved.append(done)
    path = _file(tmp_path)
    with path.open("rb") as file:
        sources: dict[str, Path | bytes | BinaryIO] = {"a path": path, "bytes": BYTES, "an open file": file}
        pushed = client.push("pca", sources[kind])
        assert file.tell() == (len(BYTES) if kind == "an open file" else 0), "as if it had been read"
    assert (pushed.version, daemon.asked) == ("2.0.0", ASKED)
    assert moved == [*range(0, len(BYTES), READ_SIZE), len(BYTES)], "as they are hashed"
    assert not any("uploads" in request for request in daemon.log)
    assert not _notes(tmp_path / "home")


def test_a_folder_that_the_store_has_is_not_sent(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    folder = make(tmp_path / "folder", {"a": BYTES})
    daemon.versions = [packed(folder)]
    client.push("pca", folder)
    assert (len(daemon.versions), daemon.asked[-1]) == (1, digest_of(packed(folder)))


def test_bytes_of_another_sample_are_sent_and_not_hashed_first(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "digest", None)
    daemon.versions = [b"another"]
    client.push("pca", BYTES)
    assert (daemon.asked, daemon.versions) == (ASKED[:1], [b"another", BYTES])


def test_other_bytes_of_the_same_sample_are_sent(daemon: FakeDaemon, client: OpStoreClient) -> None:
    other = bytearray(BYTES)
    other[samples.BLOCK] ^= 1
    assert sample_of_bytes(bytes(other)) == ASKED[0]
    daemon.versions = [bytes(other)]
    client.push("pca", BYTES)
    assert (daemon.asked, daemon.versions) == (ASKED[:2], [bytes(other), BYTES])


def test_they_are_sent_where_it_can_not_be_known_whether_they_are_undamaged(
    daemon: FakeDaemon, client: OpStoreClient
) -> None:
    daemon.versions = [BYTES]
    daemon.faults = [("GET blobs", 0)] * 10
    client.push("pca", BYTES)
    assert (set(daemon.asked), daemon.versions) == (set(ASKED[:2]), [BYTES, BYTES])


def test_what_was_sent_of_bytes_that_the_store_got_meanwhile_is_thrown_away(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.faults = [("PATCH uploads", 5_000_000)] + [("PATCH uploads", 0)] * 6
    path = _file(tmp_path)
    with pytest.raises(errors.ConnectionLost):
        client.push("pca", path)
    assert [len(_notes(tmp_path / "home")), len(daemon.uploads["u1"])] == [1, 5_000_000]
    daemon.versions = [BYTES]
    assert client.push("pca", path).version == "1.0.0"
    assert (daemon.uploads, _notes(tmp_path / "home")) == ({}, [])


def test_a_file_that_changed_behind_its_hash_is_not_taken_for_what_the_store_has(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path)
    daemon.versions = [BYTES]
    digest = Source.digest

    def changing(source: Source, progress: Callable[[int], None]) -> digests.Digest:
        found = digest(source, progress)
        path.write_bytes(b"other")
        return found

    monkeypatch.setattr(Source, "digest", changing)
    with pytest.raises(errors.FileRefused, match="it changed while it was read"):
        client.push("pca", path)
    assert daemon.asked == ASKED[:2]


@pytest.mark.parametrize("kind", ["a path", "bytes", "a stream"])
def test_bytes_that_were_damaged_on_their_way_become_no_version(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, kind: str
) -> None:
    sources: dict[str, Path | bytes | BinaryIO] = {
        "a path": _file(tmp_path),
        "bytes": BYTES,
        "a stream": Unpacking(BYTES),
    }
    daemon.damages = True
    with pytest.raises(errors.ChecksumMismatch):
        client.push("pca", sources[kind])
    assert (daemon.versions, daemon.uploads, _notes(tmp_path / "home")) == ([], {}, [])


def test_a_file_that_changes_without_a_trace_behind_its_sum_becomes_no_version(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path)
    found, send_to = path.stat(), Slice.send_to

    def changed(part: Slice, to: socket.socket) -> None:
        path.write_bytes(b"!" * len(BYTES))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        send_to(part, to)

    monkeypatch.setattr(Slice, "send_to", changed)
    with pytest.raises(errors.ChecksumMismatch):
        client.push("pca", path)
    assert (daemon.versions, daemon.uploads) == ([], {})


class Unpacking(io.BytesIO):
    """Stands for a file that is unpacked as it is read, and begins anew where it is to go back."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sought: list[int] = []

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.sought.append(offset)
        return super().seek(offset, whence)


def test_what_is_slow_to_go_back_in_is_read_once_and_in_order(daemon: FakeDaemon, client: OpStoreClient) -> None:
    file = Unpacking(BYTES)
    daemon.faults = [("PATCH uploads", 3_000_000), ("PATCH uploads", 10)]
    client.push("pca", file)
    assert (daemon.versions, daemon.sizes["u1"]) == ([BYTES], len(BYTES))
    assert file.sought == [0, 0], "to find out its size, and then no more"


def test_what_turns_out_shorter_than_it_said_makes_no_version(daemon: FakeDaemon, client: OpStoreClient) -> None:
    class Shorter(Unpacking):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, len(BYTES) - 1 - self.tell()))

    with pytest.raises(errors.FileRefused, match="it became shorter while it was read"):
        client.push("pca", Shorter(BYTES))
    assert (daemon.versions, daemon.uploads) == ([], {})


def test_a_source_that_fails_while_it_is_read_ends_the_push(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", fails)
    with pytest.raises(errors.FileRefused, match="Input/output error"):
        client.push("pca", _file(tmp_path))
    assert (daemon.versions, daemon.uploads) == ([], {})


# --- pull -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_536, 9_000_001])
def test_bytes_come_as_bytes_into_a_file_and_into_a_stream(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int
) -> None:
    data = BYTES[:size]
    daemon.versions.append(data)
    stream, target = io.BytesIO(), tmp_path / "out"
    assert client.pull("pca") == data
    assert client.pull("pca", to=stream).version == "1.0.0"
    assert client.pull("pca", to=target).digest == digest_of(data)
    assert (stream.getvalue(), target.read_bytes()) == (data, data)
    assert [path.name for path in _left(tmp_path)] == ["out"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_pull_goes_on_where_the_line_broke(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, ranges: bool
) -> None:
    daemon.versions.append(BYTES)
    daemon.ranges = ranges
    faults = [("GET bytes", 3_000_000), ("GET bytes", 3_500_000), ("GET bytes", 0)]
    stream = io.BytesIO()
    for to in (tmp_path / "out", stream):
        daemon.faults = list(faults)
        client.pull("pca", to=to)
    daemon.faults = list(faults)
    assert client.pull("pca") == (tmp_path / "out").read_bytes() == stream.getvalue() == BYTES


def test_after_a_lost_connection_the_part_stays_and_is_taken_up(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    daemon.faults = [("GET bytes", 4_000_000)] + [("GET bytes", 0)] * 6
    with pytest.raises(errors.ConnectionLost):
        client.pull("pca", to=tmp_path / "out")
    [part] = _left(tmp_path)
    assert part.name == f".out.{digest_of(BYTES)[7:23]}.part"
    daemon.headers.clear()
    client.pull("pca", to=tmp_path / "out")
    assert daemon.headers[-1]["Range"] == f"bytes={4_000_000}-"
    assert daemon.headers[-1]["If-Range"] == f'"{digest_of(BYTES)}"'
    assert (tmp_path / "out").read_bytes() == BYTES
    assert not part.exists()


def test_a_part_with_wrong_bytes_is_begun_anew(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.versions.append(BYTES)
    (tmp_path / f".out.{digest_of(BYTES)[7:23]}.part").write_bytes(b"wrong")
    client.pull("pca", to=tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BYTES


def test_a_link_in_place_of_the_part_is_not_followed(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    daemon.versions.append(BYTES)
    victim = tmp_path / "victim"
    victim.write_bytes(b"dear")
    (tmp_path / f".out.{digest_of(BYTES)[7:23]}.part").symlink_to(victim)
    client.pull("pca", to=tmp_path / "out")
    assert (victim.read_bytes(), (tmp_path / "out").read_bytes()) == (b"dear", BYTES)


def test_a_part_that_another_process_writes_to_is_left_alone(tmp_path: Path) -> None:
    digest = digest_of(b"x")
    with PartFile.beside(tmp_path / "out", digest) as first, PartFile.beside(tmp_path / "out", digest) as second:
        assert first.path != second.path


@pytest.mark.parametrize("wrong", [BYTES[:-1] + b"!", BYTES + b"!", b""])
def test_wrong_bytes_are_never_handed_out(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, wrong: bytes
) -> None:
    daemon.versions.append(BYTES)
    daemon.served = wrong
    stream = io.BytesIO()
    family = errors.IntegrityFailure if wrong else errors.ConnectionLost
    for call in (
        lambda: client.pull("pca"),
        lambda: client.pull("pca", to=tmp_path / "out"),
        lambda: client.pull("pca", to=stream),
    ):
        with pytest.raises(family):
            call()
    assert _left(tmp_path) == []
    assert len(stream.getvalue()) < len(BYTES)


@pytest.mark.parametrize("size", [0, 1, 9_000_001])
def test_a_pull_is_one_request(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, size: int) -> None:
    daemon.versions.append(BYTES[:size])
    daemon.log.clear()
    client.pull("pca")
    client.pull("pca", to=io.BytesIO())
    client.pull("pca", to=tmp_path / "out")
    assert daemon.log == [f"GET {routes.path(routes.BYTES, op='pca', selector='latest')}"] * 3
    assert (tmp_path / "out").read_bytes() == BYTES[:size]


def test_a_file_is_asked_for_as_a_part_which_the_daemon_need_not_check(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    for to in (tmp_path / "out", io.BytesIO()):
        client.pull("pca", to=to)
    assert [headers.get("Range") for headers in daemon.headers[-2:]] == ["bytes=0-", None]


def test_where_some_is_here_already_it_is_asked_first_which_version_it_is(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    """So that nothing is sent in vain."""
    daemon.versions.append(BYTES)
    daemon.faults = [("GET bytes", 5_000_000)] + [("GET bytes", 0)] * 6
    with pytest.raises(errors.ConnectionLost):
        client.pull("pca", to=tmp_path / "out")
    daemon.log.clear()
    client.pull("pca", to=tmp_path / "out")
    assert [line.rpartition("/")[2] for line in daemon.log] == ["latest", "bytes"]
    assert daemon.headers[-1]["Range"] == "bytes=5000000-"
    assert (tmp_path / "out").read_bytes() == BYTES


def test_where_a_file_is_wrong_the_daemon_is_asked_to_check_it(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    daemon.served = BYTES[:-1] + b"!"
    daemon.headers.clear()
    with pytest.raises(errors.DigestMismatch):
        client.pull("pca", to=tmp_path / "out")
    assert [headers.get("Range") for headers in daemon.headers[-2:]] == ["bytes=0-", None]
    assert _left(tmp_path) == []


def test_an_output_that_exists_is_overwritten_only_if_told(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    target = tmp_path / "out"
    target.write_bytes(b"dear")
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)
    assert (daemon.log, target.read_bytes()) == ([], b"dear")
    client.pull("pca", to=target, overwrite=True)
    assert target.read_bytes() == BYTES


@pytest.mark.parametrize("links", [True, False])
def test_an_output_that_appears_meanwhile_is_not_overwritten(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)

    def appear(*_: object) -> None:
        target.write_bytes(b"dear")

    daemon.versions.append(BYTES)
    target = tmp_path / "out"
    client.progress = appear
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)
    assert [path.name for path in _left(tmp_path)] == ["out"]
    assert target.read_bytes() == b"dear"
    client.progress = lambda *_: None
    client.pull("pca", to=tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == BYTES


def test_folders_devices_and_missing_folders_are_refused_before_bytes_move(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "none" / "out", tmp_path / "pipe", Path("/")):
        with pytest.raises(errors.FileRefused):
            client.pull("pca", to=target, overwrite=True)
    assert daemon.log == []
    # A folder may become one, but no file: that depends on the version.
    with pytest.raises(errors.FileRefused, match="it is a folder"):
        client.pull("pca", to=tmp_path, overwrite=True)
    assert not any(line.endswith("/bytes") for line in daemon.log)


def test_a_full_disk_leaves_nothing(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    daemon.versions.append(BYTES)
    monkeypatch.setattr(PartFile, "write", full)
    with pytest.raises(errors.OutputFailed, match="No space left"):
        client.pull("pca", to=tmp_path / "out")
    assert _left(tmp_path) == []


def test_a_reader_that_goes_away_is_a_broken_pipe_and_no_lost_connection(
    daemon: FakeDaemon, client: OpStoreClient
) -> None:
    daemon.versions.append(BYTES)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as output, pytest.raises(BrokenPipeError):
        client.pull("pca", to=output)


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_daemon_that_is_busy_is_asked_again_with_the_same_key(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.answers = [(503, "text/plain", b"")] * 2
    client.push("pca", b"")
    keys = [headers.get(routes.IDEMPOTENCY_KEY) for headers in daemon.headers]
    assert (keys[0], keys[0]) == (keys[1], keys[2])
    assert keys[2] != keys[3]


def test_an_append_is_never_sent_again_unasked(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.faults = [("PATCH uploads", 0)]
    client.push("pca", BYTES)
    assert [line.split()[0] for line in daemon.log] == ["POST", "PATCH", "GET", "PATCH", "POST"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, "text/html", b"<html>"), "not an opstore daemon"),
        ((200, routes.JSON, b"[]"), "not an opstore daemon"),
        ((200, routes.JSON, b"[" * 100_000), "not an opstore daemon"),
        ((404, "text/html", b"<html>"), r"not an opstore daemon \(HTTP 404\)"),
        ((500, routes.PROBLEM, b"x" * 2_000_000), r"not an opstore daemon \(HTTP 500\)"),
        ((302, routes.JSON, b""), "redirect"),
    ],
)
def test_what_is_no_daemon_is_said_to_be_none(
    daemon: FakeDaemon, client: OpStoreClient, answer: tuple[int, str, bytes], reason: str
) -> None:
    daemon.answers = [answer]
    with pytest.raises(errors.DaemonUnreachable, match=reason):
        client.show("pca")


def test_a_daemon_that_is_not_there_is_unreachable_in_short_words(tmp_path: Path) -> None:
    with FakeDaemon() as gone:
        settings = Settings(home=tmp_path).with_url(gone.url)
    with OpStoreClient(settings=settings) as client, pytest.raises(errors.DaemonUnreachable) as caught:
        client.show("pca")
    assert caught.value.details["reason"] == "connection refused"


def test_the_error_of_the_daemon_is_raised_as_itself(daemon: FakeDaemon, client: OpStoreClient) -> None:
    with pytest.raises(errors.UploadNotFound):
        client._api.request("GET", "/v1/uploads/none", object)


def test_no_token_no_proxy_and_no_netrc_but_what_was_given(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.versions.append(b"x")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with OpStoreClient(settings=Settings(home=tmp_path).with_url(daemon.url)) as client:
        client.show("pca")
    assert "Authorization" not in daemon.headers[-1]


def test_threads_share_a_client(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.versions.append(BYTES)
    pulled: list[bytes] = []
    threads = [threading.Thread(target=lambda: pulled.append(client.pull("pca"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pulled == [BYTES] * 5


def test_a_bundle_of_certificates_that_is_not_there_is_said(
    client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(errors.InvalidSetting, match="REQUESTS_CA_BUNDLE"):
        client.show("pca")
