"""A daemon on a disk that is full: on a small file system, where one can be mounted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors, routes
from opstore_daemon.system.full_disk import MARGIN, RESERVE
from tests.support.daemon import Daemon, run
from tests.support.small_disk import MIB, MountedDisk, mounted

pytestmark = pytest.mark.process

SLACK = 64 * 1024  # bytes: a file system stores whole pages


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MountedDisk]:
    """A file system of 40 MiB."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", 40 * MIB) as made:
        yield made


Start = Callable[[], Daemon]


@pytest.fixture
def start(disk: MountedDisk) -> Iterator[Start]:
    """A function that starts a daemon with its home on the disk."""
    started: list[Daemon] = []

    def begin() -> Daemon:
        daemon = Daemon.start(disk.inner / "home", enter=disk.enter)
        daemon.home = disk.outer / "home"
        started.append(daemon)
        return daemon

    yield begin
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()


def reserve(disk: MountedDisk) -> Path:
    return disk.outer / "home" / "opstore.db-reserve"


def test_a_body_of_unknown_size_leaves_the_margin_and_frees_what_it_took(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    daemon.push("pca", b"bytes")
    free = disk.free
    upload = daemon.begin_upload()
    lowest = free
    offset = 0
    while True:
        status, told = daemon.ask(
            "PATCH", routes.path(routes.UPLOAD, upload=upload), bytes(3 * MIB), Upload_Offset=str(offset)
        )
        if status != 200:
            break
        offset, lowest = told["offset"], min(lowest, disk.free)
    assert (status, told["code"]) == (507, "StorageFull")
    assert lowest >= MARGIN - SLACK
    assert lowest < MARGIN + 3 * MIB + SLACK, "all but the margin can be used"
    assert free - disk.free < SLACK
    assert daemon.ask("GET", routes.path(routes.UPLOAD, upload=upload))[0] == 404
    daemon.push("pca", b"more")


def test_on_a_full_disk_reads_go_on_and_uploads_can_be_discarded(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    daemon.push("pca", b"bytes")
    upload = daemon.begin_upload()
    daemon.append(upload, 0, bytes(5 * MIB))
    disk.fill()
    assert daemon.ask("POST", routes.UPLOADS, {})[1]["code"] == "StorageFull"
    status, told = daemon.ask("POST", "/v1/ops/pca/versions", {"fields": {"patch": {"a": "x" * 9000}}})
    assert (status, told["code"]) == (507, "StorageFull")
    assert "No space left on device" in told["detail"]
    assert daemon.pull("pca") == b"bytes"
    assert daemon.ask("GET", "/v1/ops")[0] == 200
    assert daemon.ask("GET", routes.path(routes.UPLOAD, upload=upload))[1]["offset"] == 5 * MIB
    assert daemon.ask("DELETE", routes.path(routes.UPLOAD, upload=upload))[0] == 204
    assert disk.free >= 5 * MIB + RESERVE - MIB
    assert not reserve(disk).exists()
    disk.empty()
    assert daemon.stop() == 0
    assert start().pull("pca") == b"bytes"
    assert reserve(disk).stat().st_blocks * 512 >= RESERVE


def test_an_upload_that_is_finished_on_a_full_disk_leaves_nothing(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    before = disk.free
    upload = daemon.begin_upload()
    daemon.append(upload, 0, bytes(5 * MIB))
    disk.fill()
    status, told = daemon.ask("POST", "/v1/ops/pca/versions", {"upload": upload})
    assert (status, told["code"]) == (507, "StorageFull")
    disk.empty()
    assert before - disk.free < MIB
    assert daemon.ask("DELETE", routes.path(routes.UPLOAD, upload=upload))[0] == 404
    daemon.push("pca", b"bytes")


def test_a_killed_daemon_starts_again_on_a_full_disk(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    daemon.push("pca", b"bytes")
    upload = daemon.begin_upload()
    daemon.append(upload, 0, bytes(MIB))
    daemon.kill()
    for name in ("opstore.db-shm", "daemon.json", "port", "daemon.log"):
        (daemon.home / name).unlink(missing_ok=True)
    disk.fill()
    again = start()
    assert again.pull("pca") == b"bytes"
    assert not reserve(disk).exists()
    assert again.ask("DELETE", routes.path(routes.UPLOAD, upload=upload))[0] == 204
    assert again.stop() == 0


def test_without_a_reserve_a_start_on_a_full_disk_exits_9_and_says_why(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    daemon.kill()
    (daemon.home / "opstore.db-shm").unlink()
    reserve(disk).unlink()
    disk.fill()
    for words in (("serve",), ("db", "upgrade")):
        refused = run(disk.inner / "home", *words, enter=disk.enter)
        assert refused.returncode == errors.StorageFull.exit_code
        assert "No space left on device" in refused.stderr
        assert "Traceback" not in refused.stderr
    disk.empty()
    assert start().ask("GET", "/v1/ops")[0] == 200


def test_a_first_start_on_a_full_disk_exits_9_and_says_why(disk: MountedDisk) -> None:
    disk.fill()
    refused = run(disk.inner / "home", "serve", enter=disk.enter)
    assert refused.returncode == errors.StorageFull.exit_code
    assert f"{disk.inner / 'home'}/token can't be written: No space left on device" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_two_bodies_together_leave_the_margin(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    uploads = {daemon.begin_upload(): 0, daemon.begin_upload(): 0}
    lowest = disk.free
    while uploads:
        for upload, offset in list(uploads.items()):
            status, told = daemon.ask(
                "PATCH", routes.path(routes.UPLOAD, upload=upload), bytes(2 * MIB), Upload_Offset=str(offset)
            )
            lowest = min(lowest, disk.free)
            if status == 200 and offset < 30 * MIB:
                uploads[upload] = told["offset"]
            else:
                del uploads[upload]
    assert lowest >= MARGIN - SLACK
