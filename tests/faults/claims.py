"""What has to be true of the files of a store after any fault."""

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

# What a store has apart from blobs; the reserve is the daemon's.
KEPT = {"opstore.db", "opstore.db-wal", "opstore.db-shm", "opstore.db.lock", "opstore.db-reserve"}

_BACKUP = re.compile(r"opstore\.db\.before-\d{4}-at-\d{4}")


def hex_of(data: bytes) -> str:
    """Return the digest of the bytes in hex, the name of their file."""
    return hashlib.sha256(data).hexdigest()


def check(home: Path, may_lack: Sequence[bytes] = ()) -> None:
    """Check that nothing is incomplete, apart from blobs that were damaged before."""
    damaged = set(map(hex_of, may_lack))
    with closing(sqlite3.connect(f"file:{home / 'opstore.db'}?mode=ro", uri=True)) as connection:
        rows = _check_rows(connection)
    blobs = {path.name: path for path in _blobs(home)}
    for digest, size, needed in rows:
        digits = digest.removeprefix("sha256:")
        if digits in damaged:
            continue
        assert digits in blobs or not needed, f"a version without its bytes: {digest}"
        assert digits not in blobs or blobs[digits].stat().st_size == size, f"wrong bytes of {digest}"
    for name, path in blobs.items():
        assert name in damaged or hex_of(path.read_bytes()) == name, f"a part of a blob has its name: {name}"


def leftovers(home: Path) -> list[str]:
    """Return what a start or the collector has to clean up."""
    with closing(sqlite3.connect(f"file:{home / 'opstore.db'}?mode=ro", uri=True)) as connection:
        uploads = {row[0] for row in connection.execute("SELECT id FROM upload")}
        used = {
            row[0].removeprefix("sha256:") for row in connection.execute("SELECT digest FROM version WHERE size >= 0")
        }
    found = [f"a blob that no version has: {path.name}" for path in _blobs(home) if path.name not in used]
    staged = [path.name for path in (home / "blobs" / "staging").iterdir() if path.name not in uploads]
    found += [f"bytes that no upload has: {name}" for name in staged]
    beside = {path.name for path in home.glob("opstore.db*") if not _BACKUP.fullmatch(path.name)}
    found += [f"a file beside the database: {name}" for name in beside - KEPT]
    # One can be resumed; it expires in a week.
    return found + (["more uploads than were interrupted"] if len(uploads) > 1 else [])


def _blobs(home: Path) -> list[Path]:
    return list((home / "blobs" / "blobs").glob("??/*"))


def _check_rows(connection: sqlite3.Connection) -> list[tuple[str, int, bool]]:
    """Check the database; return digest and size of the bytes of all versions, and whether one needs them."""

    def rows(query: str) -> list[Any]:
        return connection.execute(query).fetchall()

    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("PRAGMA foreign_key_check") == []
    positions = [row[0] for row in rows("SELECT position FROM journal ORDER BY position")]
    assert positions == list(range(1, len(positions) + 1))
    assert rows("SELECT position FROM counter") == [(len(positions),)]
    for op_id, last in rows("SELECT id, last_sequence FROM op"):
        sequences = [row[0] for row in rows(f"SELECT sequence FROM version WHERE op_id = {op_id} ORDER BY 1")]  # noqa: S608
        assert sequences == list(range(1, last + 1))
    unlinked = rows(
        "SELECT version.id FROM version JOIN op ON op.id = op_id WHERE name = 'pca'"
        " AND version.id NOT IN (SELECT upstream_version_id FROM link)"
    )
    assert unlinked == [], "a version without the link that it was pushed with"
    # Bytes of removed versions are there until the next collection, or not; older schemas have no removals.
    has_removals = any(column[1] == "removed_position" for column in rows("PRAGMA table_info(version)"))
    needed = "max(removed_position IS NULL)" if has_removals else "1"
    return rows(f"SELECT digest, size, {needed} FROM version WHERE digest IS NOT NULL GROUP BY digest")  # noqa: S608
