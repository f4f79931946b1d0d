"""The files of a store that nothing uses, read as an independent program would: SQLite rows, and blobs with hashlib.

`check` asserts what holds for each store whatever was done to it: rows are consistent, numbers have no gaps, and each
version that was not removed has its bytes.
"""

import hashlib
import sqlite3
import stat
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opstore_daemon.metadata.tables import Base

# The columns that hold positions of the journal, of the tables that the journal's entries are about.
_POSITIONS = [
    (table.name, column.name)
    for table in Base.metadata.sorted_tables
    if table.name not in ("counter", "journal")
    for column in table.columns
    if column.name in ("position", "stored_position", "removed_position", "until")
]


@dataclass(frozen=True)
class Row:
    """A version as the database has it; `digest` is None if it was registered without bytes."""

    id: int
    op: str
    sequence: int
    number: str
    digest: str | None
    size: int | None
    position: int
    is_removed: bool


@dataclass(frozen=True)
class Contents:
    """What the database of a store says. `links` are all entries: upstream version, downstream op, position."""

    versions: dict[tuple[str, str], Row]
    links: list[tuple[int, str, int]]
    labels: set[tuple[int, str, str]]
    positions: int

    def first_link(self, version: Row) -> int | None:
        """Return the position of the first link that the version has to a downstream op."""
        return min((position for id_, _, position in self.links if id_ == version.id), default=None)


def check(home: Path) -> Contents:
    """Check the database and the blobs of a home; return what the database says."""
    contents = read(home / "opstore.db")
    check_blobs(contents, home / "blobs" / "blobs")
    return contents


def read(database: Path) -> Contents:
    """Check that the rows are consistent, and return them."""
    with closing(sqlite3.connect(database)) as connection:

        def rows(query: str) -> list[Any]:
            return connection.execute(query).fetchall()

        assert rows("PRAGMA integrity_check") == [("ok",)]
        assert rows("PRAGMA foreign_key_check") == []
        positions = _check_positions(rows)
        versions = [
            Row(*row)
            for row in rows(
                "SELECT version.id, op.name, sequence,"
                " major_number || '.' || minor_number || '.' || patch_number, digest, size, version.position,"
                " removed_position IS NOT NULL FROM version JOIN op ON op.id = op_id ORDER BY op.name, sequence"
            )
        ]
        _check_sequences(versions, dict(rows("SELECT name, last_sequence FROM op")))
        links = rows(
            "SELECT upstream_version_id, name, link.position FROM link JOIN op ON op.id = downstream_id"
            " ORDER BY link.position"
        )
        labels = set(rows("SELECT version_id, key, value FROM label"))
    by_number = {(each.op, each.number): each for each in versions}
    assert len(by_number) == len(versions), "two versions of an op share a number"
    return Contents(by_number, links, labels, positions)


def _check_positions(rows: Any) -> int:
    """Check that positions run from 1 to the counter, and that each entry of the journal is about something."""
    positions = [row[0] for row in rows("SELECT position FROM journal ORDER BY position")]
    assert positions == list(range(1, len(positions) + 1)), "positions have gaps"
    assert rows("SELECT position FROM counter") == [(len(positions),)]
    used: set[int] = set()
    for table, column in _POSITIONS:
        used |= {row[0] for row in rows(f'SELECT DISTINCT {column} FROM "{table}" WHERE {column} IS NOT NULL')}  # noqa: S608
    assert used == set(positions), "entries that nothing has, or rows without an entry"
    return len(positions)


def _check_sequences(versions: list[Row], last: dict[str, int]) -> None:
    found: dict[str, list[int]] = defaultdict(list)
    for each in versions:
        found[each.op].append(each.sequence)
    for op, count in last.items():
        assert found[op] == list(range(1, count + 1)), f"the sequences of {op} have gaps"
    assert set(found) <= set(last)


def check_blobs(contents: Contents, blobs: Path) -> None:
    """Check that each stored version that was not removed has its bytes, in a regular file."""
    stored = {each.digest: each for each in contents.versions.values() if each.digest and not each.is_removed}
    for digest, version in stored.items():
        digits = digest.removeprefix("sha256:")
        path = blobs / digits[:2] / digits
        assert path.exists(), f"{version.op}@{version.number} has no bytes"
        assert stat.S_ISREG(path.lstat().st_mode), path
        data = path.read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digits, version.size), (version.op, version.number)
