"""Downloads of folders: published only when complete, resumed, and never at the cost of what was there before."""

import errno
import fcntl
import io
import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.files import exclusive_rename, part_folder
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from tests.cli.folders.test_unpacking import entry, ours
from tests.cli.folders.trees import SAMPLE, Tree, described, make, packed, plain
from tests.support.fake_daemon import FakeDaemon
from tests.support.faults import fails
from tests.support.figures import few
from tests.support.random_bytes import random_bytes

OTHER: Tree = {"mine": b"dear", "folder": None, "folder/file": b"dear too"}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """Return the fake daemon, set to call every version a folder."""
    daemon.format = "folder"
    return daemon


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return packed(make(tmp_path / "source", SAMPLE))


@pytest.fixture
def place(tmp_path: Path, daemon: FakeDaemon, content: bytes) -> Path:
    """Create the folder to pull to, and a version of a folder in the daemon."""
    daemon.versions.append(content)
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def hidden(target: Path, content: bytes) -> Path:
    """Return the path of the part folder."""
    return target.with_name(f".{target.name}.{digest_of(content)[7:23]}.part")


# --- the output -------------------------------------------------------------------------------------------------------


def test_a_folder_is_returned_as_a_stream_or_unpacked(client: OpStoreClient, place: Path, content: bytes) -> None:
    stream = io.BytesIO()
    assert client.pull("pca") == content
    assert client.pull("pca", to=stream).format == "folder"
    assert stream.getvalue() == content
    assert client.pull("pca", to=place / "out").format == "folder"
    assert client.pull("pca", to=f"{place}/slash/").format == "folder"
    for name in ("out", "slash"):
        assert described(place / name) == plain(SAMPLE)
        assert (place / name).stat().st_mode & 0o777 == 0o755 & ~_umask()
    assert sorted(os.listdir(place)) == ["out", "slash"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_only_a_version_of_the_format_folder_is_unpacked(
    client: OpStoreClient, daemon: FakeDaemon, place: Path
) -> None:
    daemon.format = None
    client.pull("pca", to=place / "out")
    with tarfile.open(place / "out") as archive:
        assert "a/deep/weights.bin" in archive.getnames()


# --- an existing output -----------------------------------------------------------------------------------------------

EXISTING: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: path.write_bytes(b"dear"),
    "a folder": lambda path: make(path, OTHER),
    "an empty folder": lambda path: path.mkdir(),
    "a link to a file": lambda path: path.symlink_to("../source/a.b"),
    "a link to a folder": lambda path: path.symlink_to("../source/a"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("existing", few(2, EXISTING))
def test_an_existing_output_is_replaced_only_with_overwrite(client: OpStoreClient, place: Path, existing: str) -> None:
    target = place / "out"
    EXISTING[existing](target)
    before = described(place)
    sources = described(place.parent / "source")
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)
    assert described(place) == before
    client.pull("pca", to=target, overwrite=True)
    assert (target.is_symlink(), described(target)) == (False, plain(SAMPLE))
    assert os.listdir(place) == ["out"]
    assert described(place.parent / "source") == sources


@pytest.mark.parametrize("existing", EXISTING)
def test_an_output_that_appears_meanwhile_is_not_replaced(client: OpStoreClient, place: Path, existing: str) -> None:
    target = place / "out"

    def appear(done: int, total: int | None) -> None:
        if done == total:
            EXISTING[existing](target)

    client.progress = appear
    with pytest.raises(errors.OutputExists):
        client.pull("pca", to=target)
    assert os.listdir(place) == ["out"]
    (place.parent / "another").mkdir()
    other = place.parent / "another/out"
    EXISTING[existing](other)
    assert (target.is_symlink(), described(target)) == (other.is_symlink(), described(other))


def test_a_pipe_and_a_folder_around_the_working_folder_are_not_replaced(
    client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(place / "pipe")
    make(place / "mine", OTHER)
    monkeypatch.chdir(place / "mine/folder")
    for target in (place / "pipe", place / "mine", Path("../../mine"), Path("..", "..", "mine", "folder")):
        with pytest.raises(errors.FileRefused):
            client.pull("pca", to=target, overwrite=True)
    assert described(place / "mine") == OTHER


def test_the_old_folder_is_deleted_after_the_new_one_is_in_place(
    client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(place / "out", OTHER)
    seen: list[bool] = []
    really = shutil.rmtree

    def remove(path: Any, *arguments: Any, **options: Any) -> None:
        seen.append(described(target) == plain(SAMPLE) and described(Path(path)) == OTHER)
        really(path, *arguments, **options)

    client.progress = lambda *_: seen.append(described(target) == OTHER)
    monkeypatch.setattr(shutil, "rmtree", remove)
    client.pull("pca", to=target, overwrite=True)
    assert len(seen) > 2
    assert all(seen)


@pytest.mark.parametrize("stream", few(2, ["hostile", "damaged", "lost at once", "a full disk"]))
def test_a_failed_pull_keeps_the_old_folder_and_nothing_else(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    target = make(place / "out", OTHER)
    raised = _make_it_fail(stream, daemon, monkeypatch)
    with pytest.raises(raised):
        client.pull("pca", to=target, overwrite=True)
    assert (described(target), os.listdir(place)) == (OTHER, ["out"])
    with pytest.raises(raised):
        client.pull("pca", to=place / "new")
    assert os.listdir(place) == ["out"]


def _make_it_fail(how: str, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    full = fails(errno.ENOSPC)
    if how == "hostile":
        daemon.versions.append(ours(entry("a"), entry("b", size=3 * 1024 * 1024), entry("../victim")))
        return errors.FolderRefused
    if how == "damaged":
        daemon.served = b"\xff" + daemon.versions[-1][1:]
        return errors.BlobDamaged
    if how == "lost at once":
        daemon.faults = [("GET bytes", 0)] * 20
        return errors.ConnectionLost
    monkeypatch.setattr(os, "write", full)
    return errors.OutputFailed


def test_a_refused_folder_names_the_version_and_how_to_get_its_bytes(
    daemon: FakeDaemon, client: OpStoreClient, place: Path
) -> None:
    daemon.versions.append(ours(entry("../victim")))
    with pytest.raises(errors.FolderRefused) as caught:
        client.pull("pca", to=place / "out")
    assert caught.value.text == "pca@2.0.0 can't be unpacked: '../victim': its path is not a plain relative path"
    assert caught.value.advice == "to get its bytes as they are: opstore pull pca@2.0.0 -o -"
    assert client.pull("pca") == daemon.versions[-1]


def test_a_pull_resumes_after_a_lost_connection(daemon: FakeDaemon, client: OpStoreClient, place: Path) -> None:
    daemon.faults = [("GET bytes", 1000), ("GET bytes", 1), ("GET bytes", 3000), ("GET bytes", 0)]
    client.pull("pca", to=place / "out")
    assert described(place / "out") == plain(SAMPLE)
    assert sum(line.endswith("/bytes") for line in daemon.log) == 5


@pytest.mark.parametrize("exchanges", [True, False])
def test_the_old_folder_comes_back_if_the_second_rename_fails(
    client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(exclusive_rename, "_rename_with", lambda *_: errno.ENOSYS)
    target = make(place / "out", OTHER)
    really = os.rename

    def rename(source: Any, to: Any) -> None:
        if str(source).endswith(".part"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        really(source, to)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(errors.OutputFailed, match="Input/output error"):
        client.pull("pca", to=target, overwrite=True)
    assert (described(target), os.listdir(place)) == (OTHER, ["out"])


def test_an_old_folder_that_cannot_be_removed_is_named(
    client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(place / "out", OTHER)

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(shutil, "rmtree", fail)
    with pytest.raises(errors.OutputFailed, match=r"the new one is in place, but the old one remains as .*\.old"):
        client.pull("pca", to=target, overwrite=True)
    assert described(target) == plain(SAMPLE)


# --- resumption -------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path, daemon: FakeDaemon) -> Path:
    """Create a folder and a version of it: files of 100 kB in two folders, a link and a script."""
    names = [f"{part}/{number:02}" for part in "ab" for number in range(40)]
    tree = {name: random_bytes(100_000, seed=number) for number, name in enumerate(names)}
    source = make(tmp_path / "many", tree)
    (source / "b" / "link").symlink_to("00")
    (source / "run").write_bytes(b"#!/bin/sh")
    (source / "run").chmod(0o755)
    daemon.versions.append(packed(source))
    return source


def interrupt_pull(daemon: FakeDaemon, client: OpStoreClient, target: Path, after: int) -> None:
    daemon.faults = [("GET bytes", after)] + [("GET bytes", 0)] * 6
    with pytest.raises(errors.ConnectionLost):
        client.pull("pca", to=target)
    assert not target.exists()


def requested_offsets(daemon: FakeDaemon) -> list[int]:
    """Return the offsets at which the requests for bytes began."""
    ranges = [headers.get("Range", "bytes=0-") for headers in daemon.headers]
    return [int(each.removeprefix("bytes=").removesuffix("-")) for each in ranges]


@pytest.mark.parametrize("after", few(1, [1_000, 150_000, 8_000_000]))
def test_a_later_pull_resumes_with_the_incomplete_file(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, many: Path, after: int
) -> None:
    target = place / "out"
    interrupt_pull(daemon, client, target, after)
    daemon.headers.clear()
    client.pull("pca", to=target)
    assert (described(target), os.listdir(place)) == (described(many), ["out"])
    assert after - 110_000 < requested_offsets(daemon)[-1] <= after


@pytest.fixture
def big(tmp_path: Path, daemon: FakeDaemon) -> Path:
    """Create a folder with a large file between small ones, and a version of it."""
    tree = {"a": b"small", "b/big": random_bytes(30_000_000), "c": b"small too"}
    source = make(tmp_path / "big", tree)
    daemon.versions.append(packed(source))
    return source


@pytest.mark.parametrize("after", [10_000_000, pytest.param(29_990_000, marks=pytest.mark.slow)])
def test_a_later_pull_resumes_within_a_large_file(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, big: Path, after: int
) -> None:
    target = place / "out"
    interrupt_pull(daemon, client, target, after)
    daemon.headers.clear()
    client.pull("pca", to=target)
    assert (described(target), os.listdir(place)) == (described(big), ["out"])
    assert after - 2048 < requested_offsets(daemon)[-1] <= after


@pytest.mark.slow
def test_a_large_file_is_resumed_several_times(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, big: Path
) -> None:
    for after in (9_000_000, 8_500_000, 7_000_000):
        # The first request is for the header of the file, the second for the rest of it.
        daemon.faults = [("GET bytes", 30_000_000)] if after != 9_000_000 else []
        daemon.faults += [("GET bytes", after)] + [("GET bytes", 0)] * 6
        with pytest.raises(errors.ConnectionLost):
            client.pull("pca", to=place / "out")
    client.pull("pca", to=place / "out")
    assert requested_offsets(daemon)[-1] > 24_000_000
    assert described(place / "out") == described(big)


@pytest.mark.parametrize(
    "damaged", [9_000_000, *(pytest.param(damaged, marks=pytest.mark.slow) for damaged in (0, 14_999_000))]
)
def test_the_existing_bytes_of_a_large_file_are_verified(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, big: Path, damaged: int
) -> None:
    target = place / "out"
    interrupt_pull(daemon, client, target, 15_000_000)
    left = hidden(target, daemon.versions[-1]) / "b" / "big"
    with left.open("r+b") as file:
        file.seek(damaged)
        file.write(b"damaged")
    client.pull("pca", to=target)
    assert (described(target), os.listdir(place)) == (described(big), ["out"])


@pytest.mark.slow
def test_an_incomplete_file_of_another_name_is_not_resumed(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, big: Path
) -> None:
    target = place / "out"
    interrupt_pull(daemon, client, target, 15_000_000)
    left = hidden(target, daemon.versions[-1]) / "b"
    (left / "big").rename(left / "bigger")
    client.pull("pca", to=target)
    assert (described(target), os.listdir(place)) == (described(big), ["out"])


@pytest.mark.slow
def test_a_pull_resumes_several_times_and_after_an_interrupt(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, many: Path
) -> None:
    target = place / "out"
    for after in (2_000_000, 1_500_000):
        interrupt_pull(daemon, client, target, after)

    def interrupt(done: int, _total: int | None) -> None:
        if done > 5_000_000:
            raise KeyboardInterrupt

    client.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        client.pull("pca", to=target)
    client.progress = lambda *_: None
    daemon.headers.clear()
    client.pull("pca", to=target)
    assert requested_offsets(daemon)[-1] > 4_000_000
    assert (described(target), os.listdir(place)) == (described(many), ["out"])


def _cut(part: Path) -> None:
    os.truncate(part / "a" / "03", 50_000)


def _change(part: Path) -> None:
    (part / "a" / "03").write_bytes(random_bytes(100_000, seed=100))


def _add(part: Path) -> None:
    (part / "a" / "03x").write_bytes(b"another")


def _add_much(part: Path) -> None:
    (part / "zz").write_bytes(bytes(20_000_000))


def _delete(part: Path) -> None:
    (part / "a" / "03").unlink()


def _add_a_pipe(part: Path) -> None:
    os.mkfifo(part / "a" / "pipe")


def _replace_by_a_link(part: Path) -> None:
    (part / "a" / "03").unlink()
    (part / "a" / "03").symlink_to("/etc/passwd")


DAMAGES = (_cut, _change, _add, _add_much, _delete, _add_a_pipe, _replace_by_a_link)


@pytest.mark.parametrize("damage", few(2, DAMAGES), ids=lambda how: how.__name__.strip("_"))
def test_existing_entries_are_verified(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, content: bytes, many: Path, damage: Callable[[Path], None]
) -> None:
    target = place / "out"
    interrupt_pull(daemon, client, target, 4_200_000)
    damage(hidden(target, daemon.versions[-1]))
    client.pull("pca", to=target)
    assert (described(target), os.listdir(place)) == (described(many), ["out"])


def test_existing_entries_are_synced(
    daemon: FakeDaemon, client: OpStoreClient, place: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that wrote them may have been killed before it synced them."""
    interrupt_pull(daemon, client, place / "out", 4_200_000)
    synced: set[tuple[int, int]] = set()
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.add((found.st_dev, found.st_ino))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    client.pull("pca", to=place / "out")
    written = [path for path in (place / "out").rglob("*") if not path.is_symlink()]
    assert len(written) > 80
    assert {(path.stat().st_dev, path.stat().st_ino) for path in written} <= synced


@pytest.mark.parametrize("replaces", [False, True])
def test_the_name_of_a_folder_is_synced_before_an_old_one_is_deleted(
    client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch, replaces: bool
) -> None:
    """After a crash the name could be back on the old folder, so that one has to be whole until then."""
    target = make(place / "out", OTHER) if replaces else place / "out"
    states: list[object] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), place.stat()):
            states.append((described(target), [described(old) for old in place.glob("*.old")]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    client.pull("pca", to=target, overwrite=replaces)
    assert states == [(plain(SAMPLE), [OTHER] if replaces else [])]
    assert os.listdir(place) == ["out"]


def test_a_disk_that_can_not_sync_the_name_of_a_folder_is_reported(
    client: OpStoreClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(place / "out", OTHER)
    fsync, fail = os.fsync, fails(errno.EIO)

    def failing(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), place.stat()):
            fail()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(errors.OutputFailed, match=r"the old one remains as .*\.old: Input/output error"):
        client.pull("pca", to=target, overwrite=True)
    assert described(target) == plain(SAMPLE)
    assert [described(old) for old in place.glob(".*.old")] == [OTHER]


# --- the part folders of other processes ------------------------------------------------------------------------------


def test_other_entries_in_the_part_folder_are_removed(client: OpStoreClient, place: Path, content: bytes) -> None:
    make(hidden(place / "out", content), OTHER)
    client.pull("pca", to=place / "out")
    assert (described(place / "out"), os.listdir(place)) == (plain(SAMPLE), ["out"])


def test_a_part_folder_that_another_process_uses_is_left_alone(
    client: OpStoreClient, place: Path, content: bytes
) -> None:
    others = make(hidden(place / "out", content), OTHER)
    descriptor = os.open(others, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    client.pull("pca", to=place / "out")
    os.close(descriptor)
    assert (described(place / "out"), described(others)) == (plain(SAMPLE), OTHER)
    assert sorted(os.listdir(place)) == [others.name, "out"]


@pytest.mark.parametrize("existing", [name for name in EXISTING if "folder" not in name or "link" in name])
def test_anything_else_at_the_path_of_the_part_folder_is_left_alone(
    client: OpStoreClient, place: Path, content: bytes, existing: str
) -> None:
    others = hidden(place / "out", content)
    EXISTING[existing](others)
    before = described(place)
    client.pull("pca", to=place / "out")
    assert described(place / "out") == plain(SAMPLE)
    assert {name: what for name, what in described(place).items() if name.split("/")[0] != "out"} == before


def test_without_locks_no_part_folder_is_reused(
    client: OpStoreClient, place: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_folder, "try_lock", lambda _: "unsupported")
    client.pull("pca", to=place / "one")
    others = make(hidden(place / "out", content), OTHER)
    client.pull("pca", to=place / "out")
    assert (described(place / "out"), described(others)) == (plain(SAMPLE), OTHER)
    assert sorted(os.listdir(place)) == [others.name, "one", "out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_concurrent_pulls_to_one_path_leave_one_complete_folder(
    client: OpStoreClient, place: Path, overwrite: bool
) -> None:
    ended: list[str] = []

    def pull() -> None:
        try:
            client.pull("pca", to=place / "out", overwrite=overwrite)
            ended.append("well")
        except errors.OpStoreError as error:
            ended.append(error.code)

    for _ in range(5):
        shutil.rmtree(place / "out", ignore_errors=True)
        threads = [threading.Thread(target=pull) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (described(place / "out"), os.listdir(place)) == (plain(SAMPLE), ["out"])
    assert ended == ["well"] * 20
