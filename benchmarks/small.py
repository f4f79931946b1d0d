"""Measure pushes and pulls of 1 KiB through one Python client, against the parts that they can't do without.

A durable push needs three fsyncs (the bytes, the folder that gets their name, SQLite's log), one commit and one
request; each part is measured by itself in the same rounds. A pull is compared with a request to an empty Flask
application on waitress that asks SQLite for a row. Commands are compared with a Python that imports requests and
click. Prints a table of each.
"""

import argparse
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests

from benchmarks.daemon import Daemon
from benchmarks.empty import empty_server
from benchmarks.measuring import KIB, in_rounds, percentile, show, show_ratios, timed
from opstore_cli import OpStoreClient

IMPORTS = "python -c 'import requests, click'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="of each (default: 500)")
    parser.add_argument("--rounds", type=int, default=15, help="of one-shot commands (default: 15)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        measure(Path(folder), asked.count)
        one_shot(Path(folder), asked.rounds)


def measure(folder: Path, count: int) -> None:
    """Print the tables of pushes and pulls."""
    with (
        empty_server(folder) as url,
        Daemon(folder) as daemon,
        OpStoreClient(daemon.url, token=daemon.token) as client,
    ):
        seconds = in_rounds(_jobs(folder, url, client), count)
    # Sum the medians: the median of each round's sums would hide what a part costs.
    parts = {name: statistics.median(seconds[name]) for name in ("fsync of a file", "fsync of a folder", "commit")}
    request = statistics.median(seconds["empty request"])
    needed = sum(parts.values()) + request
    rows = [(name, f"{value * 1000:.2f}") for name, value in {**parts, "empty request": request}.items()]
    show(f"the parts of a durable push, medians of {count}", ("", "ms"), [*rows, ("their sum", f"{needed * 1000:.2f}")])
    row = statistics.median(seconds["request with a row"])
    told = []
    for name, yardstick, goal in (("push", needed, 2.0), ("pull", row, 1.5), ("pull to a file", row, 1.5)):
        median, slow = statistics.median(seconds[name]), percentile(seconds[name], 99)
        told.append((name, f"{median * 1000:.2f}", f"{slow * 1000:.2f}", f"{median / yardstick:.2f}", f"{goal:.1f}"))
    told.append(
        (
            "request with a row",
            f"{row * 1000:.2f}",
            f"{percentile(seconds['request with a row'], 99) * 1000:.2f}",
            "1.00",
            "",
        )
    )
    show(f"1 KiB, {count} of each by turns", ("", "median ms", "p99 ms", "times what it needs", "goal"), told)


def _jobs(folder: Path, url: str, client: OpStoreClient) -> dict[str, Callable[[], float]]:
    session = requests.Session()
    session.trust_env = False
    database = sqlite3.connect(folder / "commit.db", isolation_level=None)
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (name TEXT);")
    client.push("small", b"first")

    def new_file() -> float:
        descriptor = os.open(folder / "file", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(descriptor, random.randbytes(KIB))
        seconds = timed(lambda: os.fsync(descriptor))
        os.close(descriptor)
        return seconds

    def new_name() -> float:
        (folder / "names").mkdir(exist_ok=True)
        (folder / "names" / os.urandom(8).hex()).touch()
        descriptor = os.open(folder / "names", os.O_RDONLY)
        seconds = timed(lambda: os.fsync(descriptor))
        os.close(descriptor)
        return seconds

    def commit() -> None:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO t VALUES ('row')")
        database.execute("COMMIT")

    def push() -> float:
        data = random.randbytes(KIB)
        return timed(lambda: client.push("small", data))

    def pull_to_a_file() -> float:
        # A new file each time, and none is deleted: ext4 searches recently deleted inodes before it creates one.
        (folder / "pulled-to").mkdir(exist_ok=True)
        return timed(lambda: client.pull("small", to=folder / "pulled-to" / os.urandom(8).hex()))

    return {
        "fsync of a file": new_file,
        "fsync of a folder": new_name,
        "commit": lambda: timed(commit),
        "empty request": lambda: timed(lambda: session.post(f"{url}/empty", data=b"x" * KIB).content),
        "request with a row": lambda: timed(lambda: session.get(f"{url}/row").content),
        "push": push,
        "pull": lambda: timed(lambda: client.pull("small")),
        "pull to a file": pull_to_a_file,
    }


def one_shot(folder: Path, rounds: int) -> None:
    """Print the table of whole processes."""
    source, target = folder / "one", folder / "pulled"
    with Daemon(folder) as daemon:

        def push() -> float:
            source.write_bytes(random.randbytes(KIB))
            return daemon.do("push", "one", source).seconds

        def pull() -> float:
            target.unlink(missing_ok=True)
            return daemon.do("pull", "one", "-o", target).seconds

        def imports() -> float:
            command = [sys.executable, "-c", "import requests, click"]
            return timed(lambda: subprocess.run(command, check=True, env=daemon.environ))

        push()
        jobs = {IMPORTS: imports, "opstore push": push, "opstore pull": pull}
        seconds = in_rounds(jobs, rounds)
    goals = {"opstore push": 1.5, "opstore pull": 1.5}
    show_ratios(f"1 KiB, whole processes, {rounds} rounds", seconds, IMPORTS, goals, unit="ms")


if __name__ == "__main__":
    began = time.perf_counter()
    main()
