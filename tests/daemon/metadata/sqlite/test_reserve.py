"""The reserve beside the database: when it is there, and when it is given up."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.sqlite.reserve import Reserve
from opstore_daemon.protocol import errors
from opstore_daemon.system.full_disk import MARGIN, RESERVE
from tests.support.faults import fails
from tests.support.sqlite_database import as_sqlite


class Room:
    """What statvfs(2) returns for a disk with a number of free bytes; the reserve takes none of them."""

    def __init__(self, free: int) -> None:
        self.f_bavail, self.f_frsize, self.f_files, self.f_favail = free, 1, 1, 1


def with_room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: Room(free))


@pytest.fixture
def reserve(tmp_path: Path) -> Reserve:
    return Reserve(tmp_path / "opstore.db")


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("call", ["as it is", "missing", "refused", "without effect"])
def test_the_reserve_takes_its_bytes_on_the_disk(
    reserve: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    if call == "missing":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif call != "as it is":
        fault: Any = fails(errno.EOPNOTSUPP) if call == "refused" else lambda *_: None
        monkeypatch.setattr(os, "posix_fallocate", fault, raising=False)
    reserve.keep()
    path = tmp_path / "opstore.db-reserve"
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (RESERVE, 0o600)
    assert blocks(path) >= RESERVE
    assert not reserve.is_missing()


def test_the_reserve_leaves_as_many_bytes_as_pushes_leave(
    reserve: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_room(monkeypatch, RESERVE + MARGIN - 1)
    reserve.keep()
    assert list(tmp_path.iterdir()) == []
    with_room(monkeypatch, RESERVE + MARGIN)
    reserve.refill()
    assert [path.name for path in tmp_path.iterdir()] == ["opstore.db-reserve"]


@pytest.mark.parametrize("damage", ["shorter", "sparse", "a link"])
def test_a_reserve_that_is_not_whole_is_created_again(reserve: Reserve, tmp_path: Path, damage: str) -> None:
    path, other = tmp_path / "opstore.db-reserve", tmp_path / "other"
    other.write_bytes(b"untouched")
    if damage == "a link":
        path.symlink_to(other)
    else:
        with path.open("wb") as file:
            file.truncate(RESERVE if damage == "sparse" else 5)
    reserve.keep()
    assert not path.is_symlink()
    assert blocks(path) >= RESERVE
    assert other.read_bytes() == b"untouched"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_reserve_that_finds_no_space_leaves_nothing_and_fails_nothing(
    reserve: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", fails(error), raising=False)
    monkeypatch.setattr(os, "pwrite", fails(error))
    reserve.keep()
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_is_given_up_for_work_that_a_full_disk_blocks_and_only_once(reserve: Reserve) -> None:
    tries: list[bool] = []

    def blocked() -> None:
        assert reserve.path is not None
        tries.append(reserve.path.exists())
        raise errors.StorageFull(reason="test")

    reserve.keep()
    for expected in ([True, False], [True, False, False]):
        with pytest.raises(errors.StorageFull):
            reserve.spend_on(blocked)
        assert tries == expected
    reserve.refill()
    assert reserve.spend_on(lambda: "done") == "done"
    assert not reserve.is_missing()


def test_a_reserve_that_is_not_kept_is_not_created(reserve: Reserve, tmp_path: Path) -> None:
    reserve.refill()
    assert list(tmp_path.iterdir()) == []
    Reserve(None).keep()
    assert not Reserve(None).is_missing()


# --- the database on a full disk ------------------------------------------------------------------------------------


def add(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO op (name) VALUES (:name)"), {"name": name})


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM op").scalar_one())


def limit_pages(database: Database, pages: int) -> None:
    """Limit the size of the database as a full disk would: beyond its present size if `pages` is 0."""
    connection = database.engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA max_page_count = {pages or 1}")
    cursor.fetchall()
    connection.close()


def grow(database: Database) -> None:
    """Write a row that takes a page more, if there is one."""
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(9000))")


def test_after_a_transaction_that_found_no_space_reads_and_later_writes_work(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE filler (data BLOB)")
    add(database, "pca")
    limit_pages(database, 0)
    for _ in range(3):
        with pytest.raises(errors.StorageFull, match="database or disk is full"):
            grow(database)
        assert count(database) == 1
    limit_pages(database, 2**30)
    grow(database)
    add(database, "forest")
    assert count(database) == 2


def test_the_log_is_emptied_when_the_reserve_is_refilled(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database.path is not None
    log = database.path.with_name(f"{database.path.name}-wal")
    as_sqlite(database).reserve.keep()
    for number in range(50):
        add(database, f"op{number}")
    assert log.stat().st_size > 0
    database.regain_space()
    assert log.stat().st_size > 0, "the reserve is there: nothing to do"
    as_sqlite(database).reserve.give_up()
    with_room(monkeypatch, 0)
    with database.read():  # somebody reads: it does not wait
        database.regain_space()
    database.regain_space()
    assert log.stat().st_size == 0
    assert as_sqlite(database).reserve.is_missing()
    monkeypatch.undo()
    database.regain_space()
    assert not as_sqlite(database).reserve.is_missing()
    assert count(database) == 50


def test_regaining_space_does_not_wait_for_a_writer(database: Database) -> None:
    as_sqlite(database).reserve.keep()
    as_sqlite(database).reserve.give_up()
    with database.write():
        database.regain_space()
    assert not as_sqlite(database).reserve.is_missing()


def test_a_blob_can_be_looked_up_between_writes_while_nothing_can_be_written(database: Database) -> None:
    limit_pages(database, 0)
    with database.read_between_writes() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM op").scalar_one() == 0
        assert as_sqlite(database)._lock.locked()


def test_an_in_memory_database_can_be_read_between_writes() -> None:
    database = Database("sqlite:///:memory:")
    with database.read_between_writes() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


# --- what the system says -------------------------------------------------------------------------------------------


def failing(code: int, words: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("number", "expected", "words"),
    [
        (errno.ENOSPC, errors.StorageFull, "No space left on device"),
        (errno.EDQUOT, errors.StorageFull, "Disk quota exceeded"),
        (errno.EFBIG, errors.StorageFull, "File too large"),
        (errno.EROFS, errors.DatabaseFailed, "Read-only file system"),
        (errno.EIO, errors.DatabaseFailed, "Input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["open", "pwrite"])
def test_a_failure_of_the_database_is_reported_in_the_words_of_the_system(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[errors.OpStoreError],
    words: str,
    call: str,
) -> None:
    failure = failing(sqlite3.SQLITE_IOERR | (19 << 8), "disk I/O error")  # SQLITE_IOERR_SHMSIZE
    monkeypatch.setattr(database.engine.dialect, "do_begin", fails_with(failure))
    monkeypatch.setattr(os, call, fails(number))
    with pytest.raises(expected, match=f"disk I/O error: {words}"), database.write():
        pass


def fails_with(failure: Exception) -> Any:
    def fail(*_arguments: Any) -> None:
        raise failure

    return fail


@pytest.mark.parametrize(
    ("code", "number", "expected"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, errno.EDQUOT, errors.StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, errno.EIO, errors.OutcomeUnknown),
        (sqlite3.SQLITE_IOERR_FSYNC, errno.EDQUOT, errors.OutcomeUnknown),
        (sqlite3.SQLITE_READONLY, errno.EROFS, errors.DatabaseFailed),
    ],
)
def test_a_commit_that_was_not_written_did_not_happen_and_one_that_may_be_is_unknown(
    database: Database, monkeypatch: pytest.MonkeyPatch, code: int, number: int, expected: type[errors.OpStoreError]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database.engine.dialect, "do_commit", fails_with(failing(code, "the commit failed")))
        patch.setattr(os, "pwrite", fails(number))
        with pytest.raises(expected, match=os.strerror(number)):
            add(database, "pca")
    assert count(database) == 0
    add(database, "pca")
    assert count(database) == 1


def test_a_disk_without_inodes_is_called_that(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(10**9)
    room.f_favail = 0
    monkeypatch.setattr(database.engine.dialect, "do_begin", fails_with(failing(sqlite3.SQLITE_CANTOPEN, "unable")))
    monkeypatch.setattr(os, "open", fails(errno.ENOSPC))
    monkeypatch.setattr(os, "statvfs", lambda _path: room)
    with pytest.raises(errors.StorageFull, match="no inodes are left"), database.write():
        pass


def test_nothing_of_the_probe_stays(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        failure = failing(sqlite3.SQLITE_CANTOPEN, "unable to open database file")
        patch.setattr(database.engine.dialect, "do_begin", fails_with(failure))
        with pytest.raises(errors.DatabaseFailed, match=r"unable to open database file$"), database.write():
            pass
    assert not list(tmp_path.glob(".*"))
