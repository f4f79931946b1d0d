"""Measure what the store answers with 20 ops of 50,000 versions each and a million links, against an empty one.

`--db postgres` does so on a private PostgreSQL server, which waits for its disk as in production.

Prints a table of p50 and p99, in milliseconds, of the verbs in process (no HTTP). The newest 1,000 versions of each op
are valid for nothing, so that a resolution lies that far back and names 20,000 skipped versions. The page cache holds
what the fill left there. SQLite gathers no statistics (ANALYZE), as in a daemon; PostgreSQL does so by itself. The
garbage collector is set as in a daemon.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.filled import fill, number
from opstore_daemon import OpStoreServer
from opstore_daemon.daemon import reduce_garbage_collection
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.store import Store

OPS = [f"op{place:02d}" for place in range(20)]
NAMES = ["small", "large"]
BACK = 1000  # versions between the latest and the resolution


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=50_000, help="of each op (default: 50,000)")
    parser.add_argument("--rounds", type=int, default=200, help="of each question (default: 200)")
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="sqlite", help="default: sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd())))
        urls = postgres(stack) if asked.db == "postgres" else [f"sqlite:///{folder}/{name}.db" for name in NAMES]
        small, large = (opened(folder / name, url) for name, url in zip(NAMES, urls, strict=True))
        with closing(small), closing(large):
            fill(small, OPS, 3, 1)
            began = time.perf_counter()
            links = fill(large, OPS, asked.versions, back_of(asked.versions))
            Console().print(
                f"{asked.versions} versions of {len(OPS)} ops, {links} links: {time.perf_counter() - began:.0f} s"
            )
            for server in (small, large):
                server.store.link("op03", "op04@1.0.0")
                analyze(server)
            reduce_garbage_collection()
            report(small.store, large.store, asked.versions, asked.rounds)


def opened(folder: Path, url: str) -> OpStoreServer:
    """Open a store with its bytes in files."""
    return OpStoreServer(FileSaver(folder), url)


def back_of(versions: int) -> int:
    """Return how many versions of each op are newer than those of the resolution."""
    return min(BACK, versions // 2)


def analyze(server: OpStoreServer) -> None:
    """Have PostgreSQL do what it does by itself a minute after such a change (autovacuum)."""
    if server.db.engine.dialect.name == "postgresql":
        with server.db.write(ordered=False) as connection:
            connection.exec_driver_sql("ANALYZE")


def postgres(stack: ExitStack) -> list[str]:
    """Return the URLs of databases of a private server that ends with the stack."""
    from tests.support.postgres import Postgres

    server = stack.enter_context(Postgres(durable=True, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}))
    for name in NAMES:
        server.execute("CREATE DATABASE {}", name)
    return [server.url(name) for name in NAMES]


def report(small: Store, large: Store, versions: int, rounds: int) -> None:
    """Ask both stores in turns and print the table."""
    last = number(versions - back_of(versions) - 1)  # the newest that is valid for something
    questions: list[tuple[str, Callable[[Store], object], int]] = [
        ("latest", lambda store: store.show("op03"), rounds),
        (
            "latest valid for one op",
            lambda store: store.versions("op03", valid_for=["op04@1.0.0"], limit=1),
            rounds,
        ),
        (
            "the same, 1,000 passed over",
            lambda store: store.versions(
                "op03", valid_for=["op04@1.0.1" if store is small else f"op04@{last}"], limit=1
            ),
            rounds // 4,
        ),
        ("verdict of an edge", lambda store: store.validate("op03", "op04"), rounds),
        ("verdict of a pipeline of 20 ops", lambda store: store.validate_pipeline("chain"), rounds // 4),
        ("resolution of 20 ops", lambda store: store.resolve("chain"), 5),
        ("affected", lambda store: store.affected(f"op00@{last}" if store is large else "op00"), rounds // 4),
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
