"""The record of the WAL, and SQLite's own behaviour that it is made for."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.metadata.sqlite.wal_record import WalRecord, what_is_missing
from opstore_daemon.protocol import errors
from tests.support.figures import few

COMMITS = (0, 3, 400)
# For each run after the path, a child makes so many commits in a database of its own, and ends as if it were killed.
KILLED = """
import os, sys
from opstore_daemon.metadata import Database, Migrate
def run(path, commits, at):
    database = Database(f"sqlite:///{path}")
    database.acquire("/a/home")
    Migrate(database).upgrade()
    for number in range(commits):
        with database.write() as connection:
            connection.exec_driver_sql(f"INSERT INTO op (name) VALUES ('op{number}')")
    os._exit(9)
for at, given in enumerate(sys.argv[2:]):
    path, commits = f"{sys.argv[1]}-{at}", int(given)
    pid = os.fork()
    if pid == 0:
        run(path, commits, at)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(code, flush=True)
    if code == 0:
        break
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opstore.db"


def run_killed(program: str, path: Path, *commits: int) -> list[str]:
    """Run the program with these counts of commits, on databases beside the path; return the lines that it printed."""
    command = [sys.executable, "-c", program, str(path), *map(str, commits)]
    ran = subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    return ran.stdout.splitlines()


KillAfter = Callable[..., None]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the beginning of the paths of databases that were left by a kill after so many commits."""
    root = tmp_path_factory.mktemp("killed") / "made"
    assert run_killed(KILLED, root, *COMMITS) == ["9"] * len(COMMITS)
    return root


@pytest.fixture
def kill_after(killed: Path, path: Path) -> KillAfter:
    """Return a function that makes the database at the path what a kill after so many commits leaves."""

    def kill(commits: int = 3) -> None:
        for suffix in ("", "-wal", "-shm", ".lock"):
            shutil.copy2(f"{killed}-{COMMITS.index(commits)}{suffix}", f"{path}{suffix}")

    return kill


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def ops(path: Path) -> int:
    """Open the database as a daemon does; return how many ops it has."""
    with closing(Database(f"sqlite:///{path}")) as database:
        database.acquire()
        Migrate(database).upgrade()
        with database.read() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM op").scalar_one())


def look(path: Path) -> None:
    """Read the database with another program, which deletes the WAL when it closes the last connection."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM op").fetchall()


def back_up_and_restore(path: Path) -> None:
    """Replace the database by a backup, as an operator does."""
    copy = path.with_name("copy")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for name in (path, wal_of(path), path.with_name(f"{path.name}-shm")):
        name.unlink(missing_ok=True)
    copy.rename(path)


LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: wal_of(path).unlink(),
    "deleted with the shm": lambda path: (wal_of(path).unlink(), path.with_name(f"{path.name}-shm").unlink()),  # type: ignore[func-returns-value]
    "emptied": lambda path: os.truncate(wal_of(path), 0),
    "truncated": lambda path: os.truncate(wal_of(path), wal_of(path).stat().st_size - 4096),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_database_that_lost_commits_with_its_wal_is_refused_each_time(
    path: Path, kill_after: KillAfter, loss: str
) -> None:
    kill_after()
    LOSSES[loss](path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(errors.DatabaseDamaged, match="its last commits are missing: its WAL"):
            ops(path)
    assert path.read_bytes() == before


def test_a_database_that_lost_its_wal_is_refused_after_another_program_read_it(
    path: Path, kill_after: KillAfter
) -> None:
    kill_after()
    wal_of(path).unlink()
    look(path)
    with pytest.raises(errors.DatabaseDamaged):
        ops(path)


HARMLESS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "another program": look,
    "another program twice": lambda path: (look(path), look(path)),  # type: ignore[func-returns-value]
    "a restored backup": back_up_and_restore,
    "a lost shm": lambda path: path.with_name(f"{path.name}-shm").unlink(),
    "a lost lock file": lambda path: path.with_name(f"{path.name}.lock").unlink(),
    "a lock file with other content": lambda path: path.with_name(f"{path.name}.lock").write_text('{"wal": 7}'),
}


def _harmless() -> Iterator[object]:
    """Yield what is harmless after no, a few and many commits. The fast tests have all after a few, some after many."""
    for what in HARMLESS:
        for commits in (0, 3, 400):
            is_fast = commits == 3 or what == "nothing" or (commits, what) == (400, "another program")
            yield pytest.param(what, commits, marks=[] if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("what", "commits"), few(3, list(_harmless())))
def test_a_database_without_a_loss_opens_after_a_kill(
    path: Path, kill_after: KillAfter, what: str, commits: int
) -> None:
    kill_after(commits)
    HARMLESS[what](path)
    assert ops(path) == commits
    assert ops(path) == commits
    assert not wal_of(path).exists()


@pytest.mark.slow
def test_a_wal_that_somebody_copied_while_the_daemon_was_alive_is_not_missed(path: Path, kill_after: KillAfter) -> None:
    """Whoever closes last deletes the WAL, and writes nothing if a checkpoint has copied everything before."""
    kill_after(0)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("SELECT count(*) FROM op").fetchall()
        program = KILLED.replace("    os._exit(9)", UNTIL_A_CHECKPOINT).replace('f"{sys.argv[1]}-{at}"', "sys.argv[1]")
        committed, code = run_killed(program, path, 3)
        assert code == "9"
        assert wal_of(path).exists()
        copied_at = path.stat().st_mtime_ns
    assert not wal_of(path).exists()
    assert path.stat().st_mtime_ns == copied_at
    assert ops(path) == int(committed)


UNTIL_A_CHECKPOINT = """
    before = os.stat(path).st_mtime_ns
    while os.stat(path).st_mtime_ns == before:
        number += 1
        with database.write() as connection:
            connection.exec_driver_sql(f"INSERT INTO op (name) VALUES ('op{number}')")
    print(number + 1, flush=True)
    os._exit(9)
"""


@pytest.mark.slow
def test_a_kill_between_any_two_steps_of_closing_raises_no_alarm(path: Path) -> None:
    *killed, completed = run_killed(KILLED.replace("    os._exit(9)", CLOSING), path, *[3] * 20)
    assert set(killed) == {"9"}
    assert completed == "0"
    assert 2 < len(killed) < 19
    for at in range(len(killed) + 1):
        assert ops(path.with_name(f"{path.name}-{at}")) == 3, at


CLOSING = """
    left = at
    def counted(call):
        def counting(*args, **kwargs):
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return call(*args, **kwargs)
        return counting
    os.pwrite, os.fsync, os.lstat = counted(os.pwrite), counted(os.fsync), counted(os.lstat)
    database._readers.dispose = counted(database._readers.dispose)
    database.engine.dispose = counted(database.engine.dispose)
    database.close()
    os._exit(0)
"""


def test_a_wal_beside_an_empty_database_is_neither_used_nor_deleted(path: Path, kill_after: KillAfter) -> None:
    kill_after()
    size = wal_of(path).stat().st_size
    os.truncate(path, 0)
    with pytest.raises(errors.DatabaseDamaged, match=f"it has 0 bytes, beside a WAL of {size} bytes"):
        ops(path)
    path.unlink()
    with pytest.raises(errors.DatabaseDamaged, match=f"it is missing, beside a WAL of {size} bytes"):
        ops(path)
    assert wal_of(path).stat().st_size == size
    assert not path.exists()


def test_a_database_that_vanished_after_a_kill_is_refused(path: Path, kill_after: KillAfter) -> None:
    kill_after()
    for name in (path, wal_of(path)):
        name.unlink()
    with pytest.raises(errors.DatabaseDamaged, match="it is missing, and had"):
        ops(path)
    assert not path.exists()


def test_the_schema_is_in_the_database_file_as_soon_as_it_is_created(path: Path) -> None:
    with closing(Database(f"sqlite:///{path}")) as database:
        database.create_all()
        copy = path.with_name("copy")
        copy.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("SELECT id FROM store").fetchone() == (database.store_id(),)


@pytest.mark.parametrize(
    "found",
    [None, 7, [], {}, {"pending": 1}, {"pending": True, "mtime": "x"}, {"pending": True, "wal": 1.5}, {"other": 1}],
)
def test_a_record_that_was_damaged_records_nothing(found: object) -> None:
    assert WalRecord.parse(found) == WalRecord()


def test_a_record_is_read_as_it_was_written() -> None:
    record = WalRecord(True, 1_700_000_000_123_456_789, 8192, 4152)
    assert WalRecord.parse(record.to_dict()) == record


def test_a_wal_that_is_not_recorded_is_not_missing(path: Path) -> None:
    path.write_bytes(b"x" * 10)
    assert what_is_missing(WalRecord(), path.lstat(), None) is None
