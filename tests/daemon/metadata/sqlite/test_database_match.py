"""A database file that is not the one of its lock file, or of the WAL beside it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.metadata.sqlite.database_match import what_is_wrong

OURS, THEIRS = "0" * 32, "f" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with five entries in its journal, as far as this module looks at it."""
    path = tmp_path / "opstore.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE store (id TEXT)")
        connection.execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, position INTEGER)")
        connection.execute("CREATE TABLE journal (position INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO store VALUES (?)", (OURS,))
        connection.execute("INSERT INTO counter VALUES (1, 5)")
        connection.executemany("INSERT INTO journal VALUES (?)", [(number,) for number in range(1, 6)])
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose commits stay in the WAL."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        yield connection


@pytest.mark.parametrize("store_id", [OURS, None])
def test_an_older_copy_is_named_by_its_position(path: Path, store_id: str | None) -> None:
    for has_wal in (False, True):
        assert what_is_wrong(path, store_id, 5, has_wal=has_wal) is None
        wrong = what_is_wrong(path, store_id, 6, has_wal=has_wal)
        assert wrong == "it is an older copy: it ends at position 5 of the journal, and had reached 6"


def test_a_copy_counts_as_older_although_the_wal_beside_it_goes_further(path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("INSERT INTO journal VALUES (6)")
    writer.execute("UPDATE counter SET position = 6")
    assert what_is_wrong(path, OURS, 5, has_wal=True) is None
    assert "position 5" in str(what_is_wrong(path, OURS, 6, has_wal=True))


def test_positions_of_two_stores_are_not_compared(path: Path) -> None:
    assert what_is_wrong(path, THEIRS, 9, has_wal=False) is None  # the blobs say whose it is
    assert (
        what_is_wrong(path, THEIRS, 1, has_wal=True) == f"it is of the store {OURS}, beside a WAL of the store {THEIRS}"
    )


def test_a_mixture_whose_journal_has_a_hole_is_refused(path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("DELETE FROM journal WHERE position = 4")
    wrong = what_is_wrong(path, OURS, 5, has_wal=True)
    assert wrong == "it does not match the WAL beside it: its journal has 4 of 5 entries"


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"x" * 5000])
def test_what_is_no_database_has_no_position(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert what_is_wrong(path, OURS, 9, has_wal=False) is None


def test_a_database_of_another_program_has_no_position(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
    assert what_is_wrong(path, OURS, 9, has_wal=False) is None
