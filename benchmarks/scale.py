"""Measure what a version costs in the database: bytes of each table and index, and the depth of each index.

Fills SQLite and PostgreSQL with versions of the shape that pushes leave (benchmarks.shaped), and extrapolates to 10^9.
An index grows in proportion to its rows; its depth follows from how many entries fit on a page. A last table has what a
push writes to the log of each database, so to a replica or an archive. docs/scale.md has the conclusions.
"""

import argparse
import math
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import show
from benchmarks.shaped import fill
from opstore_daemon import OpStoreServer
from opstore_daemon.savers import MemorySaver

LARGE = 10**9
GIB = 1024**3
MANY = 3  # inner pages from which on their mean says how many pages one points to


@dataclass(frozen=True)
class Tree:
    """A table or an index: its bytes, and for a B-tree its levels (1: one page), leaf pages and inner pages."""

    name: str
    table: str
    size: int
    rows: int
    levels: int = 0
    leaves: int = 0
    inner: int = 0

    def levels_at(self, rows: float) -> int:
        """Return the levels that it has with that many rows, from the entries on its pages now."""
        leaves = math.ceil(self.leaves * rows / self.rows)
        each = (self.leaves + self.inner - 1) / self.inner if self.inner else self.leaves
        return 1 + (math.ceil(math.log(leaves, each)) if leaves > 1 and each > 1 else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=300_000, help="default: 300,000")
    parser.add_argument("--pushes", type=int, default=200, help="for the volume of the log (default: 200)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        path = Path(folder) / "opstore.db"
        with opened(f"sqlite:///{path}") as server:
            fill(server.db, asked.versions)
            report("SQLite", asked.versions, sqlite_trees(path))
            logged = {"SQLite": sqlite_log(server, path, asked.pushes)}
    with postgres() as url, opened(url) as server:
        fill(server.db, asked.versions)
        report("PostgreSQL", asked.versions, postgres_trees(url))
        logged["PostgreSQL"] = postgres_log(server, url, asked.pushes)
        with connected(url) as connection:
            counter = connection.execute("SELECT pg_relation_size('counter')").fetchone()[0]
    rows = [(name, *(f"{each / 1024:.1f}" for each in values)) for name, values in logged.items()]
    show("the log of a push with a link and a label", ("", "KiB a push", "KiB a push, after a checkpoint"), rows)
    print(f"the table of the counter after {asked.pushes} pushes: {counter} bytes")


@contextmanager
def opened(url: str) -> Iterator[OpStoreServer]:
    """Open a store on that database; the bytes of the few pushes here are in memory."""
    with closing(OpStoreServer(MemorySaver(), url)) as server:
        yield server


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of a database of a private PostgreSQL server, with its defaults for durability."""
    from tests.support.postgres import Postgres

    with Postgres(durable=True, settings={"shared_buffers": "256MB", "max_wal_size": "4GB"}) as server:
        server.execute("CREATE DATABASE {}", "scale")
        yield server.url("scale")


def report(name: str, versions: int, trees: list[Tree]) -> None:
    """Print bytes by table, and the indexes of the large tables."""
    tables: dict[str, list[Tree]] = {}
    for each in trees:
        tables.setdefault(each.table, []).append(each)
    rows = []
    for table, own in sorted(tables.items(), key=lambda item: -sum(each.size for each in item[1])):
        count = max(each.rows for each in own)
        if count < versions / 100:
            continue
        heap = sum(each.size for each in own if each.name == table)
        indexes = sum(each.size for each in own if each.name != table)
        known = [each for each in own if each.inner > MANY]
        deepest = max((each.levels_at(LARGE * each.rows / versions) for each in known), default="-")
        rows.append((
            table, f"{count / versions:.2f}", f"{heap / count:.0f}", f"{indexes / count:.0f}", str(len(own) - 1),
            f"{(heap + indexes) / versions:.0f}", f"{max(each.levels for each in own)}",
            str(deepest), f"{(heap + indexes) / versions * LARGE / GIB:.0f}",
        ))  # fmt: skip
    total = sum(each.size for each in trees)
    rows.append(("all", "", "", "", "", f"{total / versions:.0f}", "", "", f"{total / versions * LARGE / GIB:.0f}"))
    show(
        f"{name}, {versions:,} versions: bytes, and what follows for 10^9",
        (
            "",
            "rows a version",
            "bytes a row",
            "of its indexes",
            "indexes",
            "bytes a version",
            "levels",
            "at 10^9",
            "GiB",
        ),
        rows,
    )
    largest = sorted((each for each in trees if each.name != each.table and each.rows), key=lambda each: -each.size)
    show(
        f"{name}: the largest indexes",
        ("", "bytes an entry", "levels", "entries a leaf", "pages an inner page", "levels at 10^9"),
        [
            (
                each.name, f"{each.size / each.rows:.0f}", str(each.levels), f"{each.rows / each.leaves:.0f}",
                f"{(each.leaves + each.inner - 1) / each.inner:.0f}" if each.inner else "-",
                str(each.levels_at(LARGE * each.rows / versions)),
            )
            for each in largest[:8]
        ],
    )  # fmt: skip


# --- SQLite -----------------------------------------------------------------------------------------------------------


def sqlite_trees(path: Path) -> list[Tree]:
    """Return the trees of the file, by SQLite's virtual table dbstat."""
    with closing(sqlite3.connect(path)) as connection:
        tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_schema WHERE type IN ('table', 'index')"))
        counts = {
            table: int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608
            for table in set(tables.values())
            if not table.startswith("sqlite_")
        }
        found = []
        for name, size, levels, leaves, inner, cells in connection.execute(
            "SELECT name, sum(pgsize), max(length(path) - length(replace(path, '/', ''))),"
            " sum(pagetype = 'leaf'), sum(pagetype = 'internal'), sum(CASE pagetype WHEN 'leaf' THEN ncell ELSE 0 END)"
            " FROM dbstat GROUP BY name"
        ):
            table = tables.get(name, name)
            if table in counts:
                # An index in SQLite has entries on its inner pages, too: they belong to the rows, not to its leaves.
                found.append(
                    Tree(name, table, size, counts[table] if name == table else max(cells, 1), levels, leaves, inner)
                )
        return found


def sqlite_log(server: OpStoreServer, path: Path, pushes: int) -> tuple[float, float]:
    """Return the bytes of the WAL of a push: of many in a row, and of one after a checkpoint."""
    wal = path.with_name(f"{path.name}-wal")

    def size() -> int:
        return wal.stat().st_size if wal.exists() else 0

    checkpoint(path)
    push(server, 1)
    one = size()
    push(server, pushes)
    return (size() - one) / pushes, float(one)


def checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def postgres_trees(url: str) -> list[Tree]:
    """Return the relations of the database, with what the extension pgstattuple says of B-trees."""
    with connected(url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
        connection.execute("VACUUM ANALYZE")
        found = []
        for name, table, kind, size, rows in connection.execute(
            "SELECT c.relname, t.relname, c.relkind::text, pg_table_size(c.oid), c.reltuples::bigint FROM pg_class c"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid)"
            " WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace"
        ).fetchall():
            if kind == "r":
                found.append(Tree(name, table, size, max(rows, 0)))
                continue
            level, inner, leaves = connection.execute(
                "SELECT tree_level, internal_pages, leaf_pages FROM pgstatindex(%s::regclass)", (f'"{name}"',)
            ).fetchone()
            found.append(Tree(name, table, size, max(rows, 0), level + 1, leaves, inner))
        return found


def postgres_log(server: OpStoreServer, url: str, pushes: int) -> tuple[float, float]:
    """Return the bytes of WAL of a push: of many in a row, and of one after a checkpoint (with whole pages)."""
    with connected(url) as connection:

        def position() -> int:
            return int(connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()[0])

        push(server, 1)
        connection.execute("CHECKPOINT")
        before = position()
        push(server, 1)
        one = position()
        push(server, pushes)
        return (position() - one) / pushes, float(one - before)


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """Connect to the database as its superuser."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def push(server: OpStoreServer, count: int) -> None:
    """Push to ops of a chain what `fill` has written rows for."""
    for _ in range(count):
        op = random.randrange(1, 4)
        server.store.push(
            f"op-{op:06d}",
            random.randbytes(64),
            message="retrained on the reviews of May",
            filename="model.safetensors",
            labels={"dataset": "reviews-2026-05"},
            valid_with=[f"op-{op - 1:06d}"],
        )


if __name__ == "__main__":
    main()
