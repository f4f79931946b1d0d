"""Stores of older releases: their databases (tools/released_schema.py) and blobs."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import FileSaver
from tools.released_schema import FOLDER, START, UPLOADED

BYTES = {
    "pca@1.0.0": b"pca one",
    "pca@1.1.0": b"pca two",
    "forest@1.0.0": b"forest one",
    "forest@1.0.1": b"forest two",
}
LATER = START + timedelta(days=1)

Rows = dict[str, list[dict[str, Any]]]


class Released:
    """A store of an older release in the folder; `has` says whether that release could do what a later schema added."""

    def __init__(self, folder: Path, schema: str) -> None:
        self.schema, self.path, self._blobs = schema, folder / "opstore.db", folder / "blobs"
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript((FOLDER / f"{schema}.sql").read_text())
            connection.execute("PRAGMA journal_mode = WAL")
        self.before = rows(self.path)
        self._fill()

    def has(self, schema: str) -> bool:
        return self.schema >= schema

    @property
    def upload(self) -> str:
        return str(self.before["upload"][0]["id"])

    def _fill(self) -> None:
        """Put the blobs where the release left them."""
        saver = FileSaver(self._blobs)
        stored = {row["digest"] for row in self.before["version"]}
        for number, data in enumerate(data for data in BYTES.values() if digest_of(data) in stored):
            with closing(saver.draft(f"{number:032}")) as draft:
                draft.append(data)
                draft.publish(digest_of(data))
            saver.discard(f"{number:032}")
        with closing(saver.draft(self.upload)) as draft:
            draft.append(UPLOADED)
        if self.has("0005"):
            saver.claim(self.before["store"][0]["id"])

    def open(self) -> OpStoreServer:
        return OpStoreServer(FileSaver(self._blobs), f"sqlite:///{self.path}", clock=lambda: LATER)


def rows(path: Path) -> Rows:
    """Return the rows of all tables, by the names of their columns."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY rowid")]  # noqa: S608
            for (name,) in connection.execute(tables).fetchall()
        }
