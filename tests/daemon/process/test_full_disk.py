"""A daemon on a disk that is full: on a small file system, where one can be mounted, and below a limit on files."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from opstore_daemon.metadata import Database, migrate
from opstore_daemon.protocol import errors, routes
from opstore_daemon.system.full_disk import MARGIN, RESERVE
from tests.daemon.store.test_faults import limit_pages
from tests.support.daemon import Daemon, killed_at_the_end, run
from tests.support.faults import fails
from tests.support.garbage import remove, store_on_files
from tests.support.small_disk import MIB, MountedDisk, mounted
from tests.support.sqlite_database import as_sqlite
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

SLACK = 64 * 1024  # bytes: a file system stores whole pages


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MountedDisk]:
    """Return the folder of a file system of 40 MiB."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", 40 * MIB) as made:
        yield made


Start = Callable[[], Daemon]


@pytest.fixture
def start(disk: MountedDisk) -> Iterator[Start]:
    """Return a function that starts a daemon with its home on the disk."""
    with killed_at_the_end() as started:

        def begin() -> Daemon:
            started.append(Daemon.start(disk.inner / "home", enter=disk.enter))
            started[-1].home = disk.outer / "home"
            return started[-1]

        yield begin


def reserve(disk: MountedDisk) -> Path:
    return disk.outer / "home" / "opstore.db-reserve"


@pytest.mark.slow
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
    for number in range(200):  # the log has space left that it had taken before
        fields = {"patch": {"a": f"{number}" + "x" * 9000}}
        status, told = daemon.ask("POST", "/v1/ops/pca/versions", {"fields": fields})
        if status != 201:
            break
    assert (status, told["code"]) == (507, "StorageFull")
    assert "No space left on device" in told["detail"]
    assert daemon.pull("pca") == b"bytes"
    assert daemon.ask("GET", "/v1/ops")[0] == 200
    assert daemon.ask("GET", routes.path(routes.UPLOAD, upload=upload))[1]["offset"] == 5 * MIB
    assert daemon.ask("DELETE", routes.path(routes.UPLOAD, upload=upload))[0] == 204
    # The deletion may fit into what is left of the log, which the larger write did not.
    assert disk.free >= 5 * MIB + (0 if reserve(disk).exists() else RESERVE) - MIB
    disk.empty()
    assert daemon.stop() == 0
    assert start().pull("pca") == b"bytes"
    assert reserve(disk).stat().st_blocks * 512 >= RESERVE


@pytest.mark.slow
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


def collect(daemon: Daemon) -> dict[str, Any]:
    """Empty the trash without any grace; return the record."""
    status, collected = daemon.ask("POST", routes.GARBAGE, {"grace": 0, "purge": True})
    assert status == 200, collected
    return collected


@pytest.mark.slow
def test_removing_and_purging_frees_a_full_disk(disk: MountedDisk, start: Start) -> None:
    daemon = start()
    for data in (bytes(6 * MIB), b"1" * 6 * MIB):
        upload = daemon.begin_upload()
        daemon.append(upload, 0, data)
        daemon.ask("POST", "/v1/ops/pca/versions", {"upload": upload})
    disk.fill()
    removal = {"references": ["pca@1.0.0"], "force": True}
    status, told = daemon.ask("POST", routes.REMOVALS, removal)
    assert status == 200, told
    assert collect(daemon)["freed"] == 6 * MIB
    assert disk.free >= 6 * MIB - SLACK
    assert daemon.pull("pca") == b"1" * 6 * MIB
    assert daemon.ask("GET", routes.GARBAGE, None)[0] == 200
    disk.empty()
    daemon.push("pca", b"bytes")
    assert collect(daemon)["problems"] == []


def test_a_database_and_a_folder_that_are_full_are_freed_by_removing_and_purging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every system: the reserve is spent, nothing can be renamed, and the log of the database can't grow."""
    with store_on_files(tmp_path) as server:
        as_sqlite(server.db).reserve.keep()
        server.store.push("pca", b"first " * 1000)
        server.store.push("pca", b"second")
        remove(server, "pca@1.0.0")
        monkeypatch.setattr(os, "rename", fails(errno.ENOSPC))
        limit_pages(server, 0)
        collected = server.store.collect_garbage(grace=0, purge=True)
        assert (collected.freed, collected.problems) == (6000, ())
        assert server.store.pull("pca") == b"second"


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_first_start_on_a_full_disk_exits_9_and_says_why(disk: MountedDisk) -> None:
    disk.fill()
    refused = run(disk.inner / "home", "serve", enter=disk.enter)
    assert refused.returncode == errors.StorageFull.exit_code
    assert f"{disk.inner / 'home'}/token can't be written: No space left on device" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
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


def database_of_the_first_schema(path: Path, rows: int) -> None:
    """Create a database as the first release did, with some MiB in it."""
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    database = Database(f"sqlite:///{path}")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("CREATE TABLE filler (data BLOB)")
        for _ in range(rows):
            connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(1000000))")
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize("words", [("db", "upgrade"), ("serve",)])
def test_an_upgrade_without_space_says_how_much_it_needs_and_keeps_the_old_database(
    disk: MountedDisk, tmp_path: Path, words: tuple[str, ...]
) -> None:
    database_of_the_first_schema(tmp_path / "old.db", 5)
    home = disk.outer / "home"
    home.mkdir(mode=0o700)
    shutil.copy(tmp_path / "old.db", home / "opstore.db")
    old = (home / "opstore.db").read_bytes()
    disk.fill(leave=7 * MIB)
    refused = run(disk.inner / "home", *words, enter=disk.enter)
    assert refused.returncode == errors.StorageFull.exit_code, refused.stderr
    assert re.search(r"the upgrade of \S+ needs 1\d{7} bytes, one half for a backup, and \d+ are free", refused.stderr)
    assert "Traceback" not in refused.stderr
    assert (home / "opstore.db").read_bytes() == old
    assert not list(home.glob("*before*"))
    disk.empty()
    done = run(disk.inner / "home", "db", "upgrade", enter=disk.enter)
    assert (done.returncode, done.stderr) == (0, "")
    (backup,) = home.glob("*before*")
    assert backup.read_bytes()[:16] == old[:16]


@pytest.mark.slow
def test_a_disk_without_inodes_is_called_that_and_can_be_freed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", 40 * MIB, inodes=60) as disk:
        daemon = Daemon.start(disk.inner / "home", enter=disk.enter)
        daemon.home = disk.outer / "home"
        daemon.push("pca", b"bytes")
        upload = daemon.begin_upload()
        disk.take_inodes()
        status, told = daemon.ask("POST", routes.UPLOADS, {})
        assert (status, told["code"]) == (507, "StorageFull")
        assert "no inodes are left for new files" in told["detail"]
        assert daemon.ask("GET", routes.UPLOADS)[1]["uploads"][0]["upload"] == upload, "and no other"
        assert daemon.pull("pca") == b"bytes"
        assert daemon.ask("DELETE", routes.path(routes.UPLOAD, upload=upload))[0] == 204
        daemon.kill()
        disk.take_inodes()
        again = Daemon.start(disk.inner / "home", enter=disk.enter)
        again.home = disk.outer / "home"
        assert again.pull("pca") == b"bytes"
        again.kill()


OFTEN = """
import sys
from opstore_daemon import __main__, daemon
daemon.REGAIN_INTERVAL = 0.01
sys.argv = ["opstore", *sys.argv[5:]]  # behind the words of the usual command
__main__.run()
"""


@pytest.mark.slow
def test_a_running_daemon_brings_its_reserve_back(home: Path) -> None:
    daemon = Daemon.start(home, enter=[sys.executable, "-c", OFTEN])
    try:
        daemon.push("pca", b"bytes")
        for _ in range(2):
            (home / "opstore.db-reserve").unlink()
            wait_for(lambda: (home / "opstore.db-reserve").exists(), "the reserve")
        assert daemon.pull("pca") == b"bytes"
        assert daemon.stop() == 0
    finally:
        daemon.kill()


# A form of a full disk that needs no rights: the system refuses to make a file larger than a limit.


def limited(size: int) -> list[str]:
    """Return the words before a command that limit the size of its files."""
    program = (
        "import os,resource,sys; resource.setrlimit(resource.RLIMIT_FSIZE,(N,N)); os.execvp(sys.argv[1],sys.argv[1:])"
    )
    return [sys.executable, "-c", program.replace("N", str(size))]


@pytest.mark.slow
def test_a_body_beyond_the_limit_on_files_is_refused_and_freed(home: Path) -> None:
    daemon = Daemon.start(home, enter=limited(6 * MIB))
    try:
        upload = daemon.begin_upload(7 * MIB)
        status, told = daemon.ask("PATCH", routes.path(routes.UPLOAD, upload=upload), bytes(7 * MIB), Upload_Offset="0")
        assert (status, told["code"]) == (507, "StorageFull")
        assert "File too large" in told["detail"]
        assert list((home / "blobs" / "staging").iterdir()) == []
        assert daemon.ask("GET", routes.UPLOADS)[1]["uploads"] == []
        assert not (home / "opstore.db-reserve").exists(), "nor half of a reserve"
        daemon.push("pca", b"bytes")
        assert daemon.pull("pca") == b"bytes"
    finally:
        daemon.kill()


@pytest.mark.slow
def test_a_second_home_leaves_the_reserve_of_a_database_in_use_alone(home: Path, tmp_path: Path) -> None:
    database = tmp_path / "shared.db"
    options = ["--db", f"sqlite:///{database}"]
    first = Daemon.start(home, options)
    try:
        reserve = (tmp_path / "shared.db-reserve").stat()
        for command in (["serve", *options], ["db", "upgrade", *options]):
            # Its token can't be written, nor anything else.
            refused = run(tmp_path / "other", *command, enter=limited(0))
            assert refused.returncode == 5, refused.stderr
            assert f"{database} is in use by another daemon (pid {first.process.pid} on " in refused.stderr
        assert os.path.samestat((tmp_path / "shared.db-reserve").stat(), reserve)
    finally:
        first.kill()


@pytest.mark.slow
def test_a_database_at_the_limit_on_files_refuses_writes_and_keeps_reads(home: Path) -> None:
    daemon = Daemon.start(home, enter=limited(MIB))
    try:
        daemon.push("pca", b"bytes")
        for number in range(100):
            body = {"fields": {"patch": {"n": str(number)}}, "message": "x" * 50_000}
            status, told = daemon.ask("POST", "/v1/ops/pca/versions", body)
            if status != 201:
                break
        assert (status, told["code"]) == (507, "StorageFull")
        assert "File too large" in told["detail"]
        assert daemon.pull("pca") == b"bytes"
        assert daemon.ask("GET", "/v1/ops/pca/versions")[0] == 200
    finally:
        daemon.kill()
    again = Daemon.start(home)
    try:
        again.push("forest", b"bytes")
        assert len(again.ask("GET", "/v1/ops/pca/versions?limit=1000")[1]["versions"]) == number + 1
    finally:
        again.kill()
