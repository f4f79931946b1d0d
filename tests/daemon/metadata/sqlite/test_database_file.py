"""The files of a database: one daemon at a time, nothing planted, and still at their paths."""

import errno
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.system.lock_file import EARLIER_SERVER
from tests.support.faults import fails
from tests.support.figures import few
from tests.support.file_modes import mode
from tests.support.sqlite_database import as_sqlite


@contextmanager
def opened(path: Path | str, *, home: str | None = None) -> Iterator[Database]:
    """Open the database as a daemon does."""
    with closing(Database(f"sqlite:///{path}")) as database:
        database.acquire(home)
        database.create_all()
        yield database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opstore.db"


def add(database: Database, name: str) -> None:
    """Add an op in a transaction of its own."""
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES (?)", (name,))


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [str(name) for name in connection.exec_driver_sql("SELECT name FROM op ORDER BY id").scalars()]


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_nothing_is_acknowledged_after_the_lock_lost_its_name(path: Path) -> None:
    lock = path.with_name("opstore.db.lock")
    with opened(path) as database:
        add(database, "pca")
        lock.rename(path.with_name("away"))
        with pytest.raises(errors.DatabaseReplaced, match="the lock of the database"):
            add(database, "forest")
        path.with_name("away").rename(lock)
        add(database, "iris")


def through_a_link(path: Path) -> str:
    link = path.with_name("link.db")
    if not link.is_symlink():
        link.symlink_to(path)
    return str(link)


def through_a_linked_folder(path: Path) -> str:
    folder = path.parent.with_name("linked")
    if not folder.is_symlink():
        folder.symlink_to(path.parent)
    return str(folder / path.name)


NAMES: dict[str, Callable[[Path], str]] = {
    "the same": str,
    "a relative path": lambda path: os.path.relpath(path),
    "with dots": lambda path: f"{path.parent}/../{path.parent.name}/./{path.name}",
    "a symbolic link": through_a_link,
    "a linked folder": through_a_linked_folder,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_database_meets_the_same_lock(path: Path, name: str) -> None:
    with opened(path):
        with pytest.raises(errors.StoreInUse) as raised, opened(NAMES[name](path)):
            pass
        assert raised.value.text == f"the database {path} is in use by {EARLIER_SERVER}"
    with opened(NAMES[name](path)):
        pass


def test_a_database_that_is_not_there_yet_is_locked_too(path: Path) -> None:
    with closing(Database(f"sqlite:///{path}")) as first, closing(Database(f"sqlite:///{path}")) as second:
        first.acquire()
        with pytest.raises(errors.StoreInUse):
            second.acquire()
        assert not path.exists()


def test_a_database_in_memory_has_no_lock() -> None:
    with closing(Database("sqlite:///:memory:")) as first, closing(Database("sqlite://")) as second:
        first.acquire()
        second.acquire()


def test_readers_need_no_lock(path: Path) -> None:
    with opened(path) as database:
        add(database, "pca")
        with closing(Database(f"sqlite:///{path}")) as reader:
            assert names(reader) == ["pca"]
        with closing(sqlite3.connect(path)) as shell:
            assert shell.execute("SELECT name FROM op").fetchall() == [("pca",)]
            shell.execute("BEGIN")
            shell.execute("SELECT * FROM op").fetchall()
            add(database, "lda")
        add(database, "svm")
    with opened(path) as database:
        assert names(database) == ["pca", "lda", "svm"]


def test_a_reader_that_outlives_the_daemon_raises_no_alarm(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        with opened(path) as database:
            add(database, "pca")
            shell.execute("BEGIN")
            shell.execute("SELECT * FROM op").fetchall()
            add(database, "lda")
        assert path.with_name(f"{path.name}-wal").exists()
    assert not path.with_name(f"{path.name}-wal").exists()
    with opened(path) as database:
        assert names(database) == ["pca", "lda"]


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_not_called_in_use(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(error))
    with pytest.raises(errors.DatabaseFailed) as raised, opened(path):
        pass
    assert raised.value.text.endswith(f"opstore.db.lock can't be locked: flock failed: {os.strerror(error)}")


def test_a_full_disk_has_no_room_for_a_lock_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", fails(errno.ENOSPC))
    with pytest.raises(errors.StorageFull), opened(path):
        pass


def test_a_full_disk_fails_no_commit_because_of_the_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as database:
        monkeypatch.setattr(os, "pwrite", fails(errno.ENOSPC))
        add(database, "pca")
        assert names(database) == ["pca"]


def test_the_record_of_a_commit_is_written_in_place_and_synced_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path, home="/h" * 300) as database:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        size = path.with_name("opstore.db.lock").stat().st_size
        for number in range(5):
            add(database, f"op{number}")
        assert len(synced) == 1
        assert path.with_name("opstore.db.lock").stat().st_size == size
        record = json.loads(path.with_name("opstore.db.lock").read_text())
        assert record["wal"]["wal"] == path.with_name("opstore.db-wal").stat().st_size
        assert record["wal"]["pending"]
    assert not json.loads(path.with_name("opstore.db.lock").read_text())["wal"]["pending"]


# --- what somebody may have planted -----------------------------------------------------------------------------------


def plant_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def plant_pipe(path: Path, _outside: Path) -> None:
    os.mkfifo(path)


def plant_folder(path: Path, _outside: Path) -> None:
    path.mkdir()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", [plant_link, plant_pipe, plant_folder])
@pytest.mark.parametrize("ending", few(3, ["-wal", "-shm", "-journal", ".lock"]))
def test_nothing_planted_beside_a_database_is_used(
    path: Path, tmp_path: Path, ending: str, plant: Callable[[Path, Path], Any]
) -> None:
    with opened(path) as database:
        add(database, "pca")
    for name in path.parent.glob("opstore.db?*"):
        name.unlink()
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    plant(path.with_name(path.name + ending), outside)
    before = path.read_bytes()
    with pytest.raises((errors.InvalidSetting, errors.DatabaseFailed), match=f"{path.name}{ending}"), opened(path):
        pass
    assert (outside.read_bytes(), path.read_bytes()) == (b"outside", before)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", [plant_pipe, plant_folder])
def test_what_is_no_regular_file_is_no_database(path: Path, plant: Callable[[Path, Path], Any]) -> None:
    plant(path, path)
    with pytest.raises(errors.InvalidSetting, match="not a regular file"), opened(path):
        pass


def test_a_database_with_two_names_is_refused(path: Path) -> None:
    with opened(path):
        pass
    other = path.with_name("other.db")
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(errors.InvalidSetting, match=r"it has 2 names \(hard links\)"), opened(name):
            pass
    other.unlink()
    with opened(path):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{path}?mode=ro",
        "sqlite:///file:{path}?uri=true",
        "sqlite:///file:{path}?mode=memory&cache=shared&uri=true",
        "sqlite:///{path}?check_same_thread=true",
        "sqlite://host/{path}",
        "sqlite://user@host/{path}",
    ],
)
def test_options_in_the_url_are_refused(path: Path, url: str) -> None:
    with pytest.raises(errors.InvalidSetting, match="options and hosts are not supported"):
        Database(url.format(path=path))


def test_a_name_that_begins_like_a_uri_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened("file:x.db"):
        pass
    assert (tmp_path / "file:x.db").stat().st_size
    assert (tmp_path / "file:x.db.lock").exists()


def test_a_relative_path_is_the_same_file_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with opened("opstore.db") as database:
        monkeypatch.chdir(tmp_path / "elsewhere")
        add(database, "pca")
        assert names(database) == ["pca"]
        assert database.path == tmp_path / "opstore.db"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_its_owner_can_read_a_new_database_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(path) as database:
            add(database, "pca")
            modes = {found.name: mode(found) for found in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("opstore.db", "opstore.db-wal", "opstore.db-shm", "opstore.db.lock"), 0o600)


# --- files that lose their names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["opstore.db", "opstore.db-wal"])
@pytest.mark.parametrize("what", ["deleted", "moved away", "replaced"])
def test_a_commit_into_a_file_that_lost_its_name_is_refused(path: Path, name: str, what: str) -> None:
    file, away = path.with_name(name), path.with_name("away")
    with opened(path) as database:
        add(database, "before")
        assert names(database) == ["before"]
        file.unlink() if what == "deleted" else file.rename(away)
        if what == "replaced":
            file.write_bytes(away.read_bytes())
        for _ in range(2):
            with pytest.raises(errors.DatabaseReplaced):
                add(database, "after")
            with pytest.raises(errors.DatabaseReplaced):
                database.verify()
        assert names(database) == ["before"], "it is still read"
        if what != "deleted":
            away.rename(file)
            add(database, "again")
            assert names(database) == ["before", "again"]


@pytest.mark.parametrize("name", ["opstore.db", "opstore.db-wal"])
def test_a_file_that_loses_its_name_during_a_commit_fails_it(path: Path, name: str) -> None:
    with opened(path) as database:
        add(database, "before")
        file = path.with_name(name)
        with pytest.raises(errors.DatabaseReplaced), database.write() as connection:
            add_and_delete(connection, file)


def add_and_delete(connection: Connection, file: Path) -> None:
    connection.exec_driver_sql("INSERT INTO op (name) VALUES ('lost')")
    file.unlink()


def test_a_new_connection_to_another_file_is_refused(path: Path) -> None:
    with opened(path) as database, opened(path.with_name("other.db")) as other:
        add(database, "ours")
        add(other, "theirs")
        path.unlink()
        other_path = path.with_name("other.db")
        os.link(other_path, path)
        readers = as_sqlite(database)._readers
        assert readers is not None
        readers.dispose()
        with pytest.raises(errors.DatabaseReplaced, match="is another file now"):
            names(database)


def test_a_database_that_was_closed_may_be_replaced(path: Path, tmp_path: Path) -> None:
    with opened(path) as database:
        add(database, "pca")
        database.close()
        path.rename(tmp_path / "away")
        path.write_bytes((tmp_path / "away").read_bytes())
        assert names(database) == ["pca"]


def test_a_wal_that_sqlite_deletes_with_the_last_connection_is_not_missed(path: Path) -> None:
    with opened(path) as database:
        add(database, "pca")
        readers = as_sqlite(database)._readers
        assert readers is not None
        wal = path.with_name("opstore.db-wal")
        with wal.open("rb"):  # or a file system may give its inode number to the next WAL
            readers.dispose()
            database.engine.dispose()
            assert not wal.exists()
            add(database, "lda")
            assert names(database) == ["pca", "lda"]


@pytest.mark.parametrize("name", ["opstore.db", "opstore.db-wal", "opstore.db.lock"])
@pytest.mark.parametrize("after", [0, 1], ids=["before the commit", "after the commit"])
def test_a_file_that_can_not_be_looked_at_is_not_reported_as_deleted(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    """A disk that fails once: nothing is acknowledged, and the database works again without a restart."""
    database.acquire()
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES ('first')")
    look, calls = os.lstat, []

    def lstat(path: Path, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).endswith(name):
            calls.append(path)
            if len(calls) == after + 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return look(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        expected = errors.OutcomeUnknown if after else errors.DatabaseFailed
        with (
            pytest.raises(expected, match=f"{name} can't be looked at: Input/output error"),
            database.write() as failing,
        ):
            failing.exec_driver_sql("INSERT INTO op (name) VALUES ('second')")
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES ('third')")
    with database.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM op ORDER BY id").scalars().all()
    assert names == (["first", "second", "third"] if after else ["first", "third"])


def test_a_database_is_released_even_if_its_files_can_not_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Database(f"sqlite:///{tmp_path / 'opstore.db'}")
    first.acquire()
    first.create_all()
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", fails(errno.EIO))
        first.close()
    again = Database(f"sqlite:///{tmp_path / 'opstore.db'}")
    again.acquire()
    again.close()
