"""What has to be true of the files of a store after any fault."""

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

# What a store has apart from blobs; the reserve is the daemon's.
KEPT = {"opstore.db", "opstore.db-wal", "opstore.db-shm", "opstore.db.lock", "opstore.db-reserve"}

_BACKUP = re.compile(r"opstore\.db\.before-\d{4}-at-\d{4}")


def check(home: Path, *, finished: bool) -> None:
    """Check that nothing is incomplete; `finished`: nor is there anything that nobody uses and nobody cleans up."""
    with closing(sqlite3.connect(f"file:{home / 'opstore.db'}?mode=ro", uri=True)) as connection:
        rows = _check_rows(connection)
        uploads = {row[0] for row in connection.execute("SELECT id FROM upload")}
    blobs = {path.name: path for path in (home / "blobs" / "blobs").glob("??/*")}
    for digest, size in rows:
        digits = digest.removeprefix("sha256:")
        assert digits in blobs, f"a version without its bytes: {digest}"
        data = blobs[digits].read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digits), f"wrong bytes of {digest}"
    for name, path in blobs.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name, f"a part of a blob has its name: {name}"
    if finished:
        unused = set(blobs) - {digest.removeprefix("sha256:") for digest, _ in rows}
        assert not unused, f"bytes that no version has: {unused}"
        staged = {path.name for path in (home / "blobs" / "staging").iterdir()}
        assert staged <= uploads, "bytes that no upload has"
        assert len(uploads) <= 1, "more uploads than were interrupted; one can be resumed, and expires in a week"
        strange = {path.name for path in home.glob("opstore.db*") if not _BACKUP.fullmatch(path.name)} - KEPT
        assert not strange, f"leftovers beside the database: {strange}"


def _check_rows(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Check the database; return digest and size of each stored version."""

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
    return [
        (digest, size) for digest, size in rows("SELECT DISTINCT digest, size FROM version WHERE digest IS NOT NULL")
    ]
