"""An op store of chariots: a SQLite database and a folder of files."""

import sqlite3
import sys
from contextlib import closing
from hashlib import sha1
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE db_op (id INTEGER NOT NULL, op_name VARCHAR, PRIMARY KEY (id));
CREATE TABLE db_version (
    id INTEGER NOT NULL, op_id INTEGER, version_time DATETIME, major_hash VARCHAR, major_version_number INTEGER,
    minor_hash VARCHAR, minor_version_number INTEGER, patch_hash VARCHAR, patch_version_number INTEGER,
    PRIMARY KEY (id), FOREIGN KEY(op_id) REFERENCES db_op (id));
CREATE TABLE db_validated_link (
    id INTEGER NOT NULL, upstream_op_id INTEGER, downstream_op_id INTEGER, upstream_op_version_id INTEGER,
    PRIMARY KEY (id), FOREIGN KEY(upstream_op_id) REFERENCES db_op (id),
    FOREIGN KEY(downstream_op_id) REFERENCES db_op (id),
    FOREIGN KEY(upstream_op_version_id) REFERENCES db_version (id));
"""
PIPELINES = """
CREATE TABLE db_pipeline (id INTEGER NOT NULL, pipeline_name VARCHAR, PRIMARY KEY (id));
CREATE TABLE db_pipeline_link (
    id INTEGER NOT NULL, pipeline_id INTEGER, upstream_op_id INTEGER NOT NULL, downstream_op_id INTEGER,
    PRIMARY KEY (id), FOREIGN KEY(pipeline_id) REFERENCES db_pipeline (id),
    FOREIGN KEY(upstream_op_id) REFERENCES db_op (id), FOREIGN KEY(downstream_op_id) REFERENCES db_op (id));
"""
PIPELINES_OF_THE_FIRST_RELEASES = """
CREATE TABLE db_pipeline (
    id INTEGER NOT NULL, pipeline_name VARCHAR, last_op_id INTEGER,
    PRIMARY KEY (id), FOREIGN KEY(last_op_id) REFERENCES db_op (id));
"""


def hashed(text: str) -> str:
    """Return the hash that chariots computes."""
    return sha1(text.encode()).hexdigest()  # noqa: S324


def subversions(*texts: str) -> str:
    return ".".join(map(hashed, texts))


class OldStore:
    """An op store of chariots in a folder: `db.sqlite`, and `ops` with the files."""

    def __init__(self, folder: Path, pipelines: str = PIPELINES) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.models = folder / "ops" / "models"
        self.models.mkdir(parents=True)
        self._ops: dict[str, int] = {}
        self.run(TABLES + pipelines)

    @property
    def options(self) -> list[str]:
        """Return the options of the import command."""
        return ["--db", f"sqlite:///{self.folder / 'db.sqlite'}", "--files", str(self.folder / "ops")]

    def run(self, script: str) -> None:
        with closing(sqlite3.connect(self.folder / "db.sqlite")) as connection:
            connection.executescript(script)

    def insert(self, table: str, **values: Any) -> int:
        """Insert a row; return its id."""
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with closing(sqlite3.connect(self.folder / "db.sqlite")) as connection, connection:
            made = connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
            assert made.lastrowid is not None
            return made.lastrowid

    def op(self, name: str) -> int:
        if name not in self._ops:
            self._ops[name] = self.insert("db_op", op_name=name)
        return self._ops[name]

    def version(self, op: str, texts: tuple[str, str, str], time: str, data: bytes | None = None) -> int:
        """Insert a version of that time with its file; return its id."""
        major, minor, patch = map(hashed, texts)
        hashes = {"major_hash": major, "minor_hash": minor, "patch_hash": patch}
        id_ = self.insert("db_version", op_id=self.op(op), version_time=time, **hashes)
        if data is not None:
            self.file(f"{op}/{major}.{minor}.{patch}_{time.removesuffix('.000000')}", data)
        return id_

    def link(self, upstream: str, version: int, downstream: str) -> None:
        ids = {"upstream_op_id": self.op(upstream), "downstream_op_id": self.op(downstream)}
        self.insert("db_validated_link", upstream_op_version_id=version, **ids)

    def pipeline(self, name: str, *links: tuple[str, str | None]) -> None:
        pipeline = self.insert("db_pipeline", pipeline_name=name)
        for upstream, downstream in links:
            down = None if downstream is None else self.op(downstream)
            ids = {"upstream_op_id": self.op(upstream), "downstream_op_id": down}
            self.insert("db_pipeline_link", pipeline_id=pipeline, **ids)

    def file(self, path: str, data: bytes) -> Path:
        """Write a file below `models`."""
        place = self.models / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place


PCA, PCA_3 = ("2 components", "", ""), ("3 components", "", "")
FOREST, FOREST_2 = ("50 trees", "", ""), ("50 trees", "", "again")
LOADER = ("iris", "", "")


def plain(folder: Path) -> OldStore:
    """Create a valid store: a stateless loader, two versions each of a PCA and a forest, links and a pipeline."""
    store = OldStore(folder)
    loader = store.version("loader", LOADER, "2020-01-01 10:00:00.000000")
    pca = store.version("pca", PCA, "2020-01-01 10:00:01.500000", b"2 components")
    forest = store.version("forest", FOREST, "2020-01-01 10:00:02.000001", b"50 trees")
    newer = store.version("pca", PCA_3, "2020-01-03 10:00:00.000000", b"3 components")
    store.version("forest", FOREST_2, "2020-01-02 10:00:00.000000", b"50 other trees")
    for upstream, version, downstream in (("loader", loader, "pca"), ("pca", pca, "forest"), ("pca", newer, "forest")):
        store.link(upstream, version, downstream)
    store.link("pca", pca, "forest")  # the first releases recorded a link each time it was registered
    store.link("forest", forest, "report")
    store.pipeline("train", ("loader", "pca"), ("pca", "forest"), ("forest", None))
    return store


if __name__ == "__main__":
    plain(Path(sys.argv[1]))
