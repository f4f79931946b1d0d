"""A database is read on a disk that has no room for what SQLite creates beside it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.backup import database_copy
from opstore_daemon.protocol import errors
from tests.support.servers import open_server


class Full:
    """A connection that fails when it begins to read."""

    def execute(self, _statement: str) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have SQLite fail to read a database as it does where it can't create the `-shm` file."""
    connect: Callable[[Path, str], sqlite3.Connection] = database_copy._connect

    def refused(database: Path, options: str) -> sqlite3.Connection | Full:
        return Full() if options == "mode=ro" else connect(database, options)

    monkeypatch.setattr(database_copy, "_connect", refused)


def position(database: Path) -> int:
    with database_copy.snapshot(database) as connection:
        found: int = connection.execute("SELECT position FROM counter").fetchone()[0]
    return found


def stopped(folder: Path) -> Path:
    """Make a store with one version, which no daemon uses; return the path of its database."""
    with closing(open_server(folder)) as server:
        server.store.push("pca", b"bytes")
    return folder / "opstore.db"


@pytest.mark.usefixtures("full")
def test_a_database_that_nobody_uses_is_read_alone(tmp_path: Path) -> None:
    database = stopped(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert position(database) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.usefixtures("full")
def test_a_database_in_use_or_with_a_wal_is_not_read_alone(tmp_path: Path) -> None:
    database = stopped(tmp_path)
    with closing(open_server(tmp_path)), pytest.raises(sqlite3.OperationalError):
        position(database)
    database.with_name("opstore.db-wal").write_bytes(b"commits")
    with pytest.raises(sqlite3.OperationalError):
        position(database)


@pytest.mark.usefixtures("full")
def test_no_daemon_starts_while_its_database_is_read_alone(tmp_path: Path) -> None:
    database = stopped(tmp_path)
    with database_copy.snapshot(database), pytest.raises(errors.StoreInUse):
        open_server(tmp_path)
    open_server(tmp_path).close()
