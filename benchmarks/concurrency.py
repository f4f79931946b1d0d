"""1, 4 and 16 clients that push 1 KiB each, as often as they can: throughput, and how long one push takes.

The clients are processes of their own, each with one connection: threads of one process would wait for each other.
Each pushes to an op of its own, as pipelines do. Then the same transactions without HTTP, one commit each and sixteen a
commit: what grouping commits could save at most.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.daemon import Daemon
from benchmarks.measuring import KIB, percentile, show
from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import NewVersion
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import pushing
from opstore_daemon.store.versions import Blob

CLIENTS = (1, 4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of clients (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in which the order is shuffled (default: 3)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        at_once(Path(folder), asked.seconds, asked.rounds)
        grouped(Path(folder), 50 if asked.seconds < 1 else 500)


def at_once(folder: Path, seconds: float, rounds: int) -> None:
    """Prints the table."""
    took: dict[int, list[list[float]]] = {clients: [] for clients in CLIENTS}
    with Daemon(folder) as daemon:
        for _ in range(rounds):
            for clients in random.sample(CLIENTS, len(CLIENTS)):
                took[clients].append(_run(daemon, clients, seconds))
    one = statistics.median(len(each) / seconds for each in took[1])
    alone = statistics.median(value for each in took[1] for value in each)
    rows = []
    for clients, runs in took.items():
        rates = [len(each) / seconds for each in runs]
        all_ = [value for each in runs for value in each]
        slow = percentile(all_, 99)
        rows.append(
            (
                str(clients),
                f"{statistics.median(rates):.0f}",
                f"{min(rates):.0f} to {max(rates):.0f}",
                f"{statistics.median(rates) / one:.2f}",
                f"{statistics.median(all_) * 1000:.1f}",
                f"{slow * 1000:.1f}",
                f"{slow / alone:.1f}",
            )
        )
    columns = (
        "clients",
        "pushes a second",
        "spread",
        "times one client",
        "median ms",
        "p99 ms",
        "p99, times one's median",
    )
    show(f"pushes of 1 KiB, {rounds} rounds of {seconds:g} s; goals at 16: 1.00 or more, p99 below 16.0", columns, rows)


def _run(daemon: Daemon, clients: int, seconds: float) -> list[float]:
    context = multiprocessing.get_context("spawn")
    ready, queue = context.Barrier(clients), context.Queue()
    arguments = (daemon.url, daemon.token, seconds, ready, queue)
    processes = [context.Process(target=_push, args=(number, *arguments)) for number in range(clients)]
    for process in processes:
        process.start()
    found = [value for _ in processes for value in queue.get()]
    for process in processes:
        process.join()
    return found


def _push(number: int, url: str, token: str, seconds: float, ready: Any, queue: Any) -> None:
    took = []
    with OpStoreClient(url, token=token) as client:
        client.push(f"op{number}", os.urandom(KIB))
        ready.wait()
        ends = time.perf_counter() + seconds
        while (began := time.perf_counter()) < ends:
            client.push(f"op{number}", os.urandom(KIB))
            took.append(time.perf_counter() - began)
    queue.put(took)


def grouped(folder: Path, count: int) -> None:
    """Prints what a push's transaction takes alone, and with fifteen others in one commit."""
    server = OpStoreServer(MemorySaver(), f"sqlite:///{folder / 'grouped.db'}")
    rows = []
    for size in (1, 16):
        began = time.perf_counter()
        for _ in range(count // size):
            with server.db.write() as connection:
                for place in range(size):
                    blob = Blob(digest_of(os.urandom(KIB)), KIB)
                    pushing.add(connection, f"op{place}", NewVersion(), blob, time.time_ns() // 1000)
        took = (time.perf_counter() - began) / (count // size * size)
        rows.append((str(size), f"{took * 1000:.2f}"))
    server.close()
    show("the transaction of a push, by itself", ("pushes a commit", "ms a push"), rows)


if __name__ == "__main__":
    main()
