"""What the store answers, with 20 ops of 50,000 versions each and a million links, against one that is nearly empty.

Prints a table of p50 and p99, in milliseconds, of the verbs in process (no HTTP): what the daemon itself takes. The
newest 1,000 versions of each op are valid for nothing, so that a resolution lies as far back.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.store import Store

OPS = [f"op{place:02d}" for place in range(20)]
BACK = 1000  # versions that a resolution is behind
EVERY, DOWN = 40, 3  # each so-many-th version has so many links beyond its own, to older versions of the next op


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=50_000, help="of each op (default: 50,000)")
    parser.add_argument("--rounds", type=int, default=200, help="of each question (default: 200)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        small, large = opened(Path(folder) / "small"), opened(Path(folder) / "large")
        with closing(small), closing(large):
            fill(small, 3, 1)
            began = time.perf_counter()
            links = fill(large, asked.versions, BACK)
            Console().print(
                f"{asked.versions} versions of {len(OPS)} ops, {links} links: {time.perf_counter() - began:.0f} s"
            )
            report(small.store, large.store, asked.versions, asked.rounds)


def opened(folder: Path) -> OpStoreServer:
    """A store on files."""
    return OpStoreServer(FileSaver(folder / "blobs"), f"sqlite:///{folder / 'opstore.db'}")


def fill(server: OpStoreServer, versions: int, back: int) -> int:
    """Writes the ops, their versions and links past the verbs, which would take hours; returns how many links."""
    with server.db.write() as connection:
        for place, op in enumerate(OPS):
            _fill_op(connection, place, op, versions)
        links = sum(_link(connection, place, versions, back) for place in range(len(OPS) - 1))
        last = connection.exec_driver_sql("SELECT count(*) FROM journal").scalar_one()
        connection.exec_driver_sql("UPDATE counter SET position = ?", (last,))
        connection.exec_driver_sql("ANALYZE")
    server.store.register_pipeline("chain", OPS)
    server.store.register_pipeline("pair", OPS[:2])
    return links


def _next(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT coalesce(max(position), 0) + 1 FROM journal").scalar_one())


def _fill_op(connection: Connection, place: int, op: str, versions: int) -> None:
    start = _next(connection)
    connection.exec_driver_sql(
        "INSERT INTO op (id, name, last_sequence, position) VALUES (?, ?, ?, ?)", (place + 1, op, versions, start)
    )
    rows = [
        # A new major every hundredth version, a new minor every tenth: like() then has lines of some size.
        (
            place * versions + n + 1, place + 1, n + 1, f"{n // 100:04x}", f"{n // 10:06x}", f"{n:08x}",
            n // 100 + 1, n % 100 // 10, n % 10, f"sha256:{place:032x}{n:032x}", start + n,
        )
        for n in range(versions)
    ]  # fmt: skip
    connection.exec_driver_sql(
        "INSERT INTO journal (position, at, kind) VALUES (?, ?, 'version')", [(row[10], row[10]) for row in rows]
    )
    connection.exec_driver_sql(
        "INSERT INTO version (id, op_id, sequence, major, minor, patch, major_number, minor_number, patch_number,"
        " digest, size, position, stored_position, registered_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11, 0)",
        rows,
    )


def _link(connection: Connection, place: int, versions: int, back: int) -> int:
    """Each version is valid for the one of the next op that was made with it, but for the newest ones."""
    start, chance, rows = _next(connection), random.Random(place), []
    for n in range(versions - back if versions > back else versions):
        targets = {n} | {chance.randrange(max(n - 50, 0), n + 1) for _ in range(DOWN if n % EVERY == EVERY - 1 else 0)}
        rows += [(n, target) for target in sorted(targets)]
    connection.exec_driver_sql(
        "INSERT INTO journal (position, at, kind) VALUES (?, ?, 'link')",
        [(start + at, start + at) for at in range(len(rows))],
    )
    connection.exec_driver_sql(
        "INSERT INTO link (position, upstream_id, upstream_version_id, upstream_major, upstream_minor, downstream_id,"
        " downstream_version_id, state) VALUES (?, ?, ?, ?, ?, ?, ?, 'valid')",
        [
            (
                start + at,
                place + 1,
                place * versions + n + 1,
                n // 100 + 1,
                n % 100 // 10,
                place + 2,
                (place + 1) * versions + target + 1,
            )
            for at, (n, target) in enumerate(rows)
        ],
    )
    return len(rows)


def report(small: Store, large: Store, versions: int, rounds: int) -> None:
    """Asks both stores by turns."""
    old = OPS[0] + f"@{(versions - BACK - 1) // 100 + 1}.0.0" if versions > BACK else OPS[0] + "@1.0.0"
    questions: list[tuple[str, Callable[[Store], object], int]] = [
        ("latest", lambda store: store.show("op03"), rounds),
        (
            "latest valid for one op",
            lambda store: store.versions("op03", valid_for=["op04@1.0.1"], limit=1),
            rounds // 10,
        ),
        ("verdict of an edge", lambda store: store.validate("op03", "op04"), rounds),
        ("verdict of a pipeline of 20 ops", lambda store: store.validate_pipeline("chain"), rounds // 4),
        ("resolution of 20 ops", lambda store: store.resolve("chain"), 5),
        ("affected", lambda store: store.affected(old if store is large else "op00"), rounds // 4),
        ("push", lambda store: store.push("pushed", random.randbytes(16)), rounds // 2),
    ]
    table = Table(title="milliseconds in the store, by turns with one that is nearly empty")
    for column in ("", "empty p50", "p50", "p99", "times the empty one"):
        table.add_column(column, justify="right")
    for name, ask, count in questions:
        times: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(count):
            for which, store in (("small", small), ("large", large)):
                began = time.perf_counter()
                ask(store)
                times[which].append((time.perf_counter() - began) * 1000)
        empty, median = statistics.median(times["small"]), statistics.median(times["large"])
        p99 = sorted(times["large"])[max(int(len(times["large"]) * 0.99) - 1, 0)]
        table.add_row(name, f"{empty:.1f}", f"{median:.1f}", f"{p99:.1f}", f"{median / empty:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
