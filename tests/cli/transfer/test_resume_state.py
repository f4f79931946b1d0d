"""A later process resumes an upload from its state file."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.files.locks import LockedFile
from opstore_cli.transfer.resume_state import StateFile, TransferState, recorded_transfers
from opstore_cli.transport.adapter import TRIES
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from tests.support.collisions import with_collision
from tests.support.fake_daemon import FakeDaemon
from tests.support.transfers import BYTES, interrupt_push, source_file, state_files


def test_without_progress_a_push_fails_and_a_later_process_resumes_it(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path)
    interrupt_push(daemon, client, path)
    assert [len(state_files(tmp_path / "home")), len(daemon.uploads["u1"])] == [1, 5_000_000]
    moved: list[int] = []
    client.progress = lambda done, _all: moved.append(done)
    client.push("pca", path)
    assert daemon.versions == [BYTES]
    assert list(daemon.sizes) == ["u1"]
    assert moved[0] == 5_000_000
    assert not state_files(tmp_path / "home")


@pytest.mark.slow
def test_an_earlier_upload_of_other_bytes_is_replaced(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path)
    interrupt_push(daemon, client, path)
    daemon.uploads["u1"][17] ^= 1
    client.push("pca", path)
    assert daemon.versions == [BYTES]
    assert list(daemon.sizes) == ["u1", "u2"]


@pytest.mark.slow
def test_only_a_push_that_resumes_an_earlier_process_declares_a_digest(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.faults = [("PATCH uploads", 5_000_000)]
    client.push("pca", source_file(tmp_path))
    assert daemon.declared == [{"checksum", "size"}], "it resumed its own upload"
    path = source_file(tmp_path, BYTES[1:])
    interrupt_push(daemon, client, path)
    client.push("pca", path)
    assert daemon.declared[1:] == [{"digest", "size"}]


@pytest.mark.slow
def test_an_earlier_upload_of_other_bytes_with_the_same_checksum_is_replaced(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    one, other = with_collision(BYTES)
    assert checksum_of(new_sum(one)) == checksum_of(new_sum(other))
    assert digest_of(one) != digest_of(other)
    path = source_file(tmp_path, one)
    interrupt_push(daemon, client, path)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    pushed = client.push("pca", path)
    assert daemon.declared == [{"digest", "size"}, {"checksum", "size"}]
    assert (daemon.versions, pushed.digest) == ([other], digest_of(other))
    assert list(daemon.sizes) == ["u1", "u2"]


def refuse_at(daemon: FakeDaemon, offset: int, status: int, code: str, times: int = 1) -> None:
    """Have the daemon report the offset of its upload, and then this error, so many times."""
    upload = records.encode({"upload": "u1", "offset": offset, "size": len(BYTES)})
    body = records.encode(records.Problem(title="x", status=status, detail="refused", code=code))
    daemon.answers = [(200, routes.JSON, upload)] + [(status, routes.PROBLEM, body)] * times


def test_a_full_disk_ends_the_upload_for_later_processes_too(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path)
    interrupt_push(daemon, client, path)
    refuse_at(daemon, 5_000_000, 507, "StorageFull")
    with pytest.raises(errors.StorageFull):
        client.push("pca", path)
    assert (state_files(tmp_path / "home"), daemon.uploads) == ([], {})


@pytest.mark.slow
def test_an_upload_that_the_daemon_has_no_place_to_hash_is_kept(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path)
    interrupt_push(daemon, client, path)
    refuse_at(daemon, len(BYTES), 503, "TooManyReads", times=TRIES)
    with pytest.raises(errors.TooManyReads):
        client.push("pca", path)
    assert (len(state_files(tmp_path / "home")), list(daemon.uploads)) == (1, ["u1"])
    client.push("pca", path)
    assert (daemon.versions, list(daemon.sizes)) == ([BYTES], ["u1"])


def a_state(upload: str) -> TransferState:
    return TransferState(way="push", daemon="local", path="/source", size=5, upload=upload)


def test_an_upload_that_no_longer_exists_is_started_again(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path)
    state = path.stat()
    key = ("push", daemon.url, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    with StateFile.acquire(tmp_path / "home", *key) as state_file:
        assert state_file is not None
        state_file.write(a_state("gone"))
    client.push("pca", path)
    assert "GET /v1/uploads/gone" in daemon.log
    assert daemon.versions == [BYTES]


def test_a_push_of_the_same_file_to_another_op_by_another_path_resumes(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source_file(tmp_path)
    interrupt_push(daemon, client, path)
    moved: list[int] = []
    client.progress = lambda done, _all: moved.append(done)
    monkeypatch.chdir(tmp_path)
    client.push("lda", path.name, new=True, labels={"other": "words"})
    assert (moved[0], list(daemon.sizes), daemon.versions) == (5_000_000, ["u1"], [BYTES])


def test_a_state_file_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with StateFile.acquire(tmp_path, "x") as first, StateFile.acquire(tmp_path, "x") as second:
        assert first is not None
        assert second is None
        first.write(a_state("u1"))
        assert recorded_transfers(tmp_path, "local") == [(a_state("u1"), True)]
    assert recorded_transfers(tmp_path, "local") == [(a_state("u1"), False)]
    assert recorded_transfers(tmp_path, "https://elsewhere") == []


def test_a_state_with_an_invalid_upload_id_is_ignored(tmp_path: Path) -> None:
    with StateFile.acquire(tmp_path, "x") as state_file:
        assert state_file is not None
        state_file.write(a_state("../../ops"))
        assert state_file.read() is None


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"way": "push", "path": 1, "size": 1}', "x" * 100_000])
def test_an_invalid_state_file_is_ignored(tmp_path: Path, text: str) -> None:
    with StateFile.acquire(tmp_path, "x"):
        pass
    (path,) = (tmp_path / "transfers").iterdir()
    path.write_text(text)
    assert recorded_transfers(tmp_path, "local") == []
    with StateFile.acquire(tmp_path, "x") as state_file:
        assert state_file is not None
        assert state_file.read() is None


def test_a_link_in_place_of_the_folder_of_state_files_is_not_used(tmp_path: Path) -> None:
    other, home = tmp_path / "other", tmp_path / "home"
    with StateFile.acquire(other, "x") as state_file:
        assert state_file is not None
        state_file.write(a_state("u1"))
    home.mkdir(mode=0o700)
    (home / "transfers").symlink_to(other / "transfers")
    before = list((other / "transfers").iterdir())
    assert recorded_transfers(home, "local") == []
    with StateFile.acquire(home, "y") as state_file:
        assert state_file is None
        assert list((other / "transfers").iterdir()) == before


# --- transfers that nobody resumed ----------------------------------------------------------------------------------

PART = ".model.bin.0123456789abcdef.part"


def recorded_pull(home: Path, part: Path, *, old: bool = True) -> Path:
    """Leave the state file and the part of a pull that was interrupted; return the state file."""
    state = TransferState(way="pull", daemon="local", path="model.bin", size=9, version="pca@1.0.0", part=str(part))
    with StateFile.acquire(home, "pull", str(part)) as file:
        assert file is not None
        file.write(state)
    (written,) = [path for path in state_files(home) if str(part) in path.read_text()]
    if old:
        os.utime(written, (1, 1))
    return written


def forget(home: Path) -> None:
    """Begin another transfer."""
    with StateFile.acquire(home, "push", "another") as file:
        assert file is not None
        file.remove()


def test_the_part_of_a_pull_that_nobody_resumed_is_deleted_with_its_state(tmp_path: Path) -> None:
    part, folder = tmp_path / PART, tmp_path / ".data.0123456789abcdef.0123456789abcdef.part"
    part.write_bytes(b"some")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"some")
    states = [recorded_pull(tmp_path / "home", each) for each in (part, folder, tmp_path / f".gone{PART}")]
    for each in (part, folder):
        os.utime(each, (1, 1))
    forget(tmp_path / "home")
    assert [each.exists() for each in (part, folder, *states)] == [False] * 5


@pytest.mark.parametrize("why", ["its bytes are new", "its state is new", "it runs", "its part is in use"])
def test_a_pull_that_somebody_may_resume_stays(tmp_path: Path, why: str) -> None:
    part = tmp_path / PART
    part.write_bytes(b"some")
    state = recorded_pull(tmp_path / "home", part, old=why != "its state is new")
    if why != "its bytes are new":
        os.utime(part, (1, 1))
    with ExitStack() as stack:
        if why == "it runs":
            assert stack.enter_context(LockedFile.try_acquire(state)) is not None
        if why == "its part is in use":
            assert stack.enter_context(LockedFile.try_acquire(part)) is not None
        forget(tmp_path / "home")
        assert part.read_bytes() == b"some"
        assert state.exists() or why == "its part is in use"


@pytest.mark.parametrize("name", ["model.bin", ".model.part", ".model.0123456789abcdef.part.bin", ".bashrc", ".part"])
def test_nothing_but_a_part_is_deleted_whatever_the_state_says(tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    other.write_bytes(b"mine")
    os.utime(other, (1, 1))
    state = recorded_pull(tmp_path / "home", other)
    forget(tmp_path / "home")
    assert (other.read_bytes(), state.exists()) == (b"mine", False)


def test_a_link_in_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / PART).symlink_to(tmp_path / "mine")
    os.utime(tmp_path / PART, (1, 1), follow_symlinks=False)
    recorded_pull(tmp_path / "home", tmp_path / PART)
    forget(tmp_path / "home")
    assert (tmp_path / "mine").read_bytes() == b"mine"
