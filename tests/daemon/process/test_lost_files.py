"""A store that lost a part, or whose files another daemon uses, while no daemon ran or while one runs."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import digest_of
from tests.daemon.process.conftest import Start
from tests.support.daemon import Daemon, run
from tests.support.figures import few
from tests.support.schema import HEAD, turn_older

pytestmark = pytest.mark.process

Damage = Callable[[Path], object]


def without(*names: str) -> Damage:
    """Return a function that deletes files of a home."""

    def delete(home: Path) -> None:
        for name in names:
            (home / name).unlink(missing_ok=True)

    return delete


def drop_a_table(home: Path) -> None:
    with closing(sqlite3.connect(home / "opstore.db")) as connection:
        connection.execute("DROP TABLE version")


DAMAGES: dict[str, Damage] = {
    "deleted": without("opstore.db"),
    "deleted with its WAL": without("opstore.db", "opstore.db-wal", "opstore.db-shm"),
    "deleted with all its files": without("opstore.db", "opstore.db-wal", "opstore.db-shm", "opstore.db.lock"),
    "emptied": lambda home: os.truncate(home / "opstore.db", 0),
    "truncated": lambda home: os.truncate(home / "opstore.db", 2 * 4096),
    "without its WAL": without("opstore.db-wal"),
    "with an empty WAL": lambda home: os.truncate(home / "opstore.db-wal", 0),
    "without a table": drop_a_table,
    "without its blobs": lambda home: shutil.rmtree(home / "blobs"),
}
ONLY_AFTER_A_KILL = {"without its WAL", "with an empty WAL"}


def starts() -> Iterator[object]:
    """Yield each damage after a kill and, where it is possible, after a stop: once in the fast tests."""
    for damage in DAMAGES:
        yield damage, True
        if damage not in ONLY_AFTER_A_KILL:
            yield pytest.param(damage, False, marks=[] if damage == "deleted" else pytest.mark.slow)


@pytest.mark.parametrize(("damage", "killed"), few(3, list(starts())))
def test_a_start_without_a_part_of_the_store_is_refused(start: Start, damage: str, killed: bool) -> None:
    daemon = start()
    daemon.push("pca", b"1")
    daemon.kill() if killed else daemon.stop()
    DAMAGES[damage](daemon.home)
    before = {path: path.read_bytes() for path in (daemon.home / "blobs").rglob("*") if path.is_file()}
    for _ in range(2):
        refused = run(daemon.home, "serve")
        assert refused.returncode == 9
        assert str(daemon.home) in refused.stderr or "malformed" in refused.stderr
        assert "Traceback" not in refused.stderr
    after = {path: path.read_bytes() for path in (daemon.home / "blobs").rglob("*") if path.is_file()}
    assert {path for path in before if path.name not in ("lock", "store-id")} <= set(after)
    assert not (daemon.home / "daemon.json").exists()


def test_a_database_that_is_put_back_is_used_again(start: Start, tmp_path: Path) -> None:
    first = start()
    first.push("pca", b"1")
    first.stop()
    (first.home / "opstore.db").rename(tmp_path / "away")
    assert run(first.home, "serve").returncode == 9
    (tmp_path / "away").rename(first.home / "opstore.db")
    assert start().push("pca", b"2")["version"] == "1.0.1"


@pytest.mark.slow
@pytest.mark.parametrize("left", [(), ("opstore.db-wal", "opstore.db-shm")], ids=["database and WAL", "database"])
def test_a_new_store_starts_after_the_rest_of_a_lost_one_was_moved_away(
    start: Start, tmp_path: Path, left: tuple[str, ...]
) -> None:
    """The steps are those of docs/recovery.md, "The database is lost"."""
    daemon = start()
    daemon.push("pca", b"1")
    daemon.kill()
    for name in {"opstore.db", "opstore.db-wal", "opstore.db-shm"} - set(left):
        (daemon.home / name).unlink()
    assert run(daemon.home, "serve").returncode == 9
    (tmp_path / "lost").mkdir()
    for path in daemon.home.glob("opstore.db[.-]*"):
        path.rename(tmp_path / "lost" / path.name)
    (daemon.home / "blobs").rename(tmp_path / "lost-blobs")
    assert start().push("pca", b"2")["version"] == "1.0.0"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["of another store", "of an earlier time"])
def test_another_database_beside_the_wal_of_a_killed_daemon_costs_no_commit(
    start: Start, tmp_path: Path, which: str
) -> None:
    daemon = start()
    for number in range(5):
        daemon.push(f"op{number}", b"1")
    daemon.stop()
    database, earlier = daemon.home / "opstore.db", tmp_path / "earlier.db"
    shutil.copy(database, earlier)
    daemon = start()
    for number in range(40):
        daemon.push(f"op{number}", b"2", message="a" * 1000)
    daemon.stop()
    daemon = start()
    daemon.push("last", b"3")
    daemon.kill()
    shutil.copy(database, tmp_path / "right.db")
    if which == "of another store":
        earlier.unlink()
        with closing(Database(f"sqlite:///{earlier}")) as other:
            other.create_all()
    wal = (daemon.home / "opstore.db-wal").read_bytes()
    shutil.copy(earlier, database)
    for command in (["db", "current"], ["serve"], ["db", "upgrade"], ["serve"]):
        done = run(daemon.home, *command)
        if command != ["db", "current"]:
            assert done.returncode == 9
            assert "can't be used as it is" in done.stderr
        assert (daemon.home / "opstore.db-wal").read_bytes() == wal
        assert database.read_bytes() == earlier.read_bytes()
    shutil.copy(tmp_path / "right.db", database)
    assert start().push("last", b"4")["version"] == "1.0.1"


@pytest.mark.parametrize(
    "files", [["opstore.db", "blobs"], ["opstore.db", "blobs", "token", "opstore.db-shm"]], ids=str
)
def test_a_copy_of_a_killed_store_without_its_wal_is_refused(start: Start, tmp_path: Path, files: list[str]) -> None:
    daemon = start()
    daemon.push("pca", b"1")
    daemon.stop()
    daemon = start()
    daemon.push("pca", b"2")
    daemon.kill()
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    for name in files:
        source = daemon.home / name
        shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy / name)
    refused = run(copy, "serve")
    assert refused.returncode == 9
    assert "its last commits are missing" in refused.stderr
    shutil.copy(daemon.home / "opstore.db-wal", copy)
    shutil.copy(daemon.home / "opstore.db", copy)
    whole = Daemon.start(copy)
    try:
        assert whole.push("pca", b"3")["version"] == "1.0.2"
    finally:
        whole.kill()


def test_an_upgrade_creates_no_database_beside_blobs(start: Start) -> None:
    daemon = start()
    daemon.push("pca", b"1")
    daemon.stop()
    (daemon.home / "opstore.db").unlink()
    refused = run(daemon.home, "db", "upgrade")
    assert refused.returncode == 9
    assert "holds blobs of a store" in refused.stderr
    assert not (daemon.home / "opstore.db").exists()


def test_a_look_at_the_schema_keeps_the_wal_of_an_emptied_database(start: Start) -> None:
    daemon = start()
    daemon.push("pca", b"1")
    daemon.kill()
    os.truncate(daemon.home / "opstore.db", 0)
    assert run(daemon.home, "db", "current").stdout.startswith("none ")
    assert (daemon.home / "opstore.db-wal").stat().st_size > 0


@pytest.mark.parametrize("name", ["opstore.db", "opstore.db-wal", "blobs"])
def test_a_push_into_files_that_lost_their_names_is_not_acknowledged(daemon: Daemon, tmp_path: Path, name: str) -> None:
    daemon.push("pca", b"1")
    upload = daemon.begin_upload(1)
    daemon.append(upload, 0, b"2")
    (daemon.home / name).rename(tmp_path / "away")
    if name == "blobs":
        shutil.copytree(tmp_path / "away", daemon.home / name)
    path = routes.path(routes.VERSIONS, op="pca")
    for _ in range(2):
        status, refused = daemon.ask("POST", path, {"upload": upload})
        assert (status, refused["code"]) == (503, "StorageFailed" if name == "blobs" else "DatabaseReplaced")
        assert str(daemon.home) not in str(refused)
        assert daemon.ask("GET", routes.READY)[0] == 503
        assert daemon.pull("pca") == b"1", "reads go on"
    if (daemon.home / name).exists():
        shutil.rmtree(daemon.home / name)
    (tmp_path / "away").rename(daemon.home / name)
    assert daemon.ask("GET", routes.READY)[0] == 200
    status, pushed = daemon.ask("POST", path, {"upload": upload})
    assert (status, pushed["version"]) == (201, "1.0.1")
    digits = digest_of(b"2").hex
    assert (daemon.home / "blobs" / "blobs" / digits[:2] / digits).read_bytes() == b"2"


def test_two_homes_do_not_share_a_database_or_a_folder(start: Start, tmp_path: Path) -> None:
    database, blobs = tmp_path / "shared.db", tmp_path / "shared"
    options = ["--db", f"sqlite:///{database}", "--saver", blobs.as_uri()]
    first = start(*options)
    first.push("pca", b"1")
    for shared, words in ((options[:2], f"database {database}"), (options[2:], f"folder {blobs}")):
        refused = run(tmp_path / "other", "serve", *shared)
        assert refused.returncode == 5
        assert f"{words} is in use by another daemon (pid {first.process.pid} on " in refused.stderr
        assert f"home {first.home}" in refused.stderr
    assert run(tmp_path / "other", "db", "upgrade", *options[:2]).returncode == 5
    first.kill()
    for shared in (options[:2], options[2:]):
        assert run(tmp_path / "other", "serve", *shared).returncode == 9
    assert start(*options).pull("pca") == b"1"


def test_a_planted_backup_is_not_written_through(start: Start, tmp_path: Path) -> None:
    first = start()
    first.push("pca", b"1")
    first.stop()
    turn_older(first.home / "opstore.db", "0004")
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    for end in ("", ".new", ".new-journal", ".new-wal"):
        (first.home / f"opstore.db.before-{HEAD}-at-0004{end}").symlink_to(outside)
    start()
    assert outside.read_bytes() == b"outside"
