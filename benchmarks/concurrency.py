"""Measure 1, 4 and 16 clients that push 1 KiB as often as they can: throughput and latency.

Each client is a process with one connection, since threads of one process would wait for each other, and pushes to an
op of its own. The same rounds measure as many clients that send 1 KiB to an empty application, which shows how long the
slowest wait where nothing is done. A second table compares the transactions of pushes without HTTP, one commit each,
with sixteen in one commit: the most that grouping commits could save.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from benchmarks.daemon import Daemon
from benchmarks.empty import empty_server
from benchmarks.measuring import KIB, percentile, show, timed
from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import NewVersion
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest import new_version
from opstore_daemon.store.journal import Stamp

Runs = dict[int, list[list[float]]]  # seconds of each request, in each round, by the number of clients
Job = tuple[Any, ...]  # what a client's process does, and its arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of clients (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in which the order is shuffled (default: 3)")
    parser.add_argument("--clients", type=int, default=[4, 16], nargs="+", help="how many, beside one (default: 4 16)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        at_once(Path(folder), [1, *asked.clients], asked.seconds, asked.rounds)
        grouped(Path(folder), 50 if asked.seconds < 1 else 500)


def at_once(folder: Path, clients: list[int], seconds: float, rounds: int) -> None:
    """Print a table of pushes, and one of requests that do nothing."""
    with Daemon(folder) as daemon, empty_server(folder) as url:
        jobs: dict[str, Job] = {"pushes": (_push, daemon.url, daemon.token), "empty requests": (_ask, url)}
        cases = [(name, count) for name in jobs for count in clients]
        took: dict[str, Runs] = {name: {count: [] for count in clients} for name in jobs}
        for _ in range(rounds):
            for name, count in random.sample(cases, len(cases)):
                took[name][count].append(run(jobs[name], count, seconds))
    rest = f"of 1 KiB, {rounds} rounds of {seconds:g} s"
    _show(f"pushes {rest}; goals at 16: 1.00 or more, p99 below 16.0", "pushes", seconds, took["pushes"])
    _show(f"empty requests {rest}", "requests", seconds, took["empty requests"])


def _show(title: str, name: str, seconds: float, took: Runs) -> None:
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
        f"{name} a second",
        "spread",
        "times one client",
        "median ms",
        "p99 ms",
        "p99, times one's median",
    )
    show(title, columns, rows)


def run(job: Job, clients: int, seconds: float) -> list[float]:
    """Return the seconds of each request of `count` clients at once."""
    context = multiprocessing.get_context("spawn")
    ready, queue = context.Barrier(clients), context.Queue()
    work, *given = job
    processes = [context.Process(target=work, args=(n, *given, seconds, ready, queue)) for n in range(clients)]
    for process in processes:
        process.start()
    found = [value for _ in processes for value in queue.get()]
    for process in processes:
        process.join()
    return found


def _push(number: int, url: str, token: str, seconds: float, ready: Any, queue: Any) -> None:
    with OpStoreClient(url, token=token) as client:
        queue.put(often(lambda: client.push(f"op{number}", os.urandom(KIB)), seconds, ready))


def _ask(_number: int, url: str, seconds: float, ready: Any, queue: Any) -> None:
    with requests.Session() as session:
        session.trust_env = False
        queue.put(often(lambda: session.post(f"{url}/empty", data=os.urandom(KIB)).content, seconds, ready))


def often(work: Callable[[], object], seconds: float, ready: Any) -> list[float]:
    """Return the seconds of each call, starting when all clients are ready."""
    took = []
    work()
    ready.wait()
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        took.append(timed(work))
    return took


def grouped(folder: Path, count: int) -> None:
    """Print what a push's transaction takes alone, and with fifteen others in one commit."""
    server = OpStoreServer(MemorySaver(), f"sqlite:///{folder / 'grouped.db'}")
    rows = []
    for size in (1, 16):
        began = time.perf_counter()
        for _ in range(count // size):
            with server.db.write() as connection:
                for place in range(size):
                    blob = Blob(digest_of(os.urandom(KIB)), KIB)
                    new_version.make(
                        connection, OpName(f"op{place}"), NewVersion(), blob, Stamp(time.time_ns() // 1000)
                    )
        took = (time.perf_counter() - began) / (count // size * size)
        rows.append((str(size), f"{took * 1000:.2f}"))
    server.close()
    show("the transaction of a push, by itself", ("pushes a commit", "ms a push"), rows)


if __name__ == "__main__":
    main()
