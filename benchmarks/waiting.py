"""Measure what 20 working clients notice of 500 waiters: the same work without and with waiters, in turns.

The daemon, the clients and the waiters are a process each. The waiters poll as `opstore validate PIPELINE --wait` does,
with its own code, but over `http.client`, so that as little as possible of their own effort is measured. What they wait
for stays unknown. Prints tables of milliseconds, of requests a round, and of what the daemon has open. `--gate` exits 1
if the median with waiters is above that multiple of the median without.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from rich.console import Console
from rich.table import Table

from opstore_cli import BaseOpStoreClient, OpStoreClient
from opstore_cli.client.polling import MAX_INTERVAL
from opstore_cli.transport.interface import Body, Response

PIPELINE, PAIR, PUSHED = ["scaler", "pca", "forest"], ["tokenizer", "ranker"], "model"
FOREVER = 3600.0  # seconds
SETTLED = 2 * MAX_INTERVAL  # seconds until the waiters' polls have spread out

Times = dict[str, list[float]]


@dataclass(frozen=True)
class Daemon:
    """A running daemon."""

    pid: int
    url: str
    token: str

    def holds(self) -> tuple[int | None, int | None]:
        """Return its threads and open sockets, where the system tells."""
        of_process = Path(f"/proc/{self.pid}")
        if not of_process.exists():
            return None, None
        sockets = [place for place in (of_process / "fd").iterdir() if _leads_to(place).startswith("socket:")]
        return len(list((of_process / "task").iterdir())), len(sockets)


def _leads_to(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed in the meantime
        return ""


@dataclass
class Rounds:
    """What was measured without waiters, or with them."""

    times: Times = field(default_factory=dict)
    work: list[float] = field(default_factory=list)  # requests of the clients a second
    asked: list[float] = field(default_factory=list)  # requests of the waiters a second
    threads: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)

    def all_times(self) -> list[float]:
        """Return the times of requests of every kind."""
        return [time for times in self.times.values() for time in times]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, default=500, help="default: 500")
    parser.add_argument("--clients", type=int, default=20, help="that work meanwhile (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="without and with waiters (default: 3 of each)")
    parser.add_argument("--seconds", type=float, default=15, help="of a round (default: 15)")
    parser.add_argument("--gate", type=float, help="fail where the median is more than so many times higher")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder, started(folder) as daemon:
        fill(daemon)
        rounds = {False: Rounds(), True: Rounds()}
        for _ in range(asked.rounds):
            for waiters in (0, asked.waiters):
                measure(daemon, waiters, asked.clients, asked.seconds, rounds[waiters > 0])
    ratio = report(rounds[False], rounds[True], asked.waiters, asked.clients)
    return int(asked.gate is not None and ratio > asked.gate)


@contextmanager
def started(home: str) -> Iterator[Daemon]:
    """Start a daemon of its own, as `opstore serve` does."""
    reading, writing = os.pipe()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPSTORE_")}
    environ |= {"OPSTORE_HOME": home, "OPSTORE_READY_FD": str(writing)}
    command = [sys.executable, "-P", "-m", "opstore_daemon", "serve"]
    with (
        open(reading) as ready,
        subprocess.Popen(command, env=environ, pass_fds=[writing], stderr=subprocess.DEVNULL) as process,
    ):
        try:
            os.close(writing)
            url = json.loads(ready.readline())["url"]
            yield Daemon(process.pid, url, (Path(home) / "token").read_text().strip())
        finally:
            process.terminate()


def fill(daemon: Daemon) -> None:
    """Create a pipeline that nobody validates, and a pair that is valid."""
    with OpStoreClient(daemon.url, token=daemon.token) as client:
        for op in (*PIPELINE, *PAIR, PUSHED):
            client.push(op, random.randbytes(1024))
        client.register_pipeline("churn", PIPELINE)
        client.link(PAIR[0], PAIR[1])


def measure(daemon: Daemon, waiters: int, clients: int, seconds: float, into: Rounds) -> None:
    """Run one round: the clients work while the waiters wait."""
    context = multiprocessing.get_context("spawn")
    questions = context.Value("L", 0)
    waiting = context.Process(target=wait, args=(daemon, waiters, questions), daemon=True)
    ours, theirs = context.Pipe()
    working = context.Process(target=work, args=(daemon, clients, seconds, theirs), daemon=True)
    if waiters:
        waiting.start()
        time.sleep(SETTLED)
    working.start()
    ours.recv()
    before = questions.value
    time.sleep(seconds / 2)
    for held, kept in zip(daemon.holds(), (into.threads, into.sockets), strict=True):
        if held is not None:
            kept.append(held)
    times: Times = ours.recv()
    into.asked.append((questions.value - before) / seconds)
    into.work.append(sum(map(len, times.values())) / seconds)
    for kind, taken in times.items():
        into.times.setdefault(kind, []).extend(taken)
    working.join()
    if waiters:
        waiting.terminate()
        waiting.join()


# --- who works: a process of its own --------------------------------------------------------------------------------


def work(daemon: Daemon, clients: int, seconds: float, told: Connection) -> None:
    """Run `count` clients, a thread each, one request after another; report the start and the measurements."""
    times: Times = {}
    warm = threading.Barrier(clients + 1)

    def works() -> None:
        with OpStoreClient(daemon.url, token=daemon.token) as client:
            todo: list[tuple[str, Callable[[], object]]] = [
                ("push", lambda: client.push(PUSHED, random.randbytes(1024))),
                ("show", lambda: client.show(PUSHED)),
                ("validate", lambda: client.validate(*PAIR)),
                ("versions", lambda: client.versions(PUSHED, limit=20)),
            ]
            random.shuffle(todo)
            for _, ask in todo:
                ask()
            warm.wait()
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                for kind, ask in todo:
                    began = time.perf_counter()
                    ask()
                    times.setdefault(kind, []).append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=works) for _ in range(clients)]
    for thread in threads:
        thread.start()
    warm.wait()
    told.send("begun")
    for thread in threads:
        thread.join()
    told.send(times)


# --- who waits: another one -----------------------------------------------------------------------------------------


def wait(daemon: Daemon, waiters: int, questions: "Synchronized[int]") -> None:
    """Run `count` waiters, a thread each, forever; count their requests."""
    threading.stack_size(256 * 1024)
    for _ in range(waiters):
        client = Waiter(daemon, questions)
        threading.Thread(target=client.wait, args=("churn",), kwargs={"seconds": FOREVER}, daemon=True).start()
    time.sleep(FOREVER)


class Waiter(BaseOpStoreClient):
    """A client whose connection stays open between two polls, unless the daemon closes it."""

    def __init__(self, daemon: Daemon, questions: "Synchronized[int]") -> None:
        super().__init__()
        self._connection = http.client.HTTPConnection(urlsplit(daemon.url).netloc, timeout=60)
        self._token, self._questions = daemon.token, questions

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        assert body is None, "only questions are asked"
        query = urlencode({name: value for name, value in parameters.items() if value is not None}, doseq=True)
        given = {**headers, "Authorization": f"Bearer {self._token}"}
        try:
            self._connection.request(method, f"{path}?{query}" if query else path, headers=given)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # the daemon closed it in the meantime
            self._connection.close()
            self._connection.request(method, f"{path}?{query}" if query else path, headers=given)
            answer = self._connection.getresponse()
        with self._questions.get_lock():
            self._questions.value += 1
        return cast(Response, answer)  # its headers are looked up like a mapping's


# --- the report -----------------------------------------------------------------------------------------------------


def report(without: Rounds, waited: Rounds, waiters: int, clients: int) -> float:
    """Print the tables; return how many times higher the median of all requests is with waiters."""
    table = Table(title=f"milliseconds of a request of {clients} clients, without and with {waiters} waiters, by turns")
    for column in ("", "requests", "median", "p99", "median with", "p99 with", "times", "times p99"):
        table.add_column(column, justify="right")
    kinds = [(kind, without.times[kind], waited.times[kind]) for kind in sorted(without.times)]
    ratio = 0.0
    for kind, alone, among in [*kinds, ("all", without.all_times(), waited.all_times())]:
        (median, p99), (median_with, p99_with) = _figures(alone), _figures(among)
        ratio = median_with / median
        figures = [*(f"{value:.1f}" for value in (median, p99, median_with, p99_with)), f"{ratio:.2f}"]
        table.add_row(kind, str(len(alone) + len(among)), *figures, f"{p99_with / p99:.2f}")
    held = Table(title="a second, and what the daemon holds, as medians of the rounds")
    for column in ("", "requests of the clients", "of the waiters", "threads", "sockets"):
        held.add_column(column, justify="right")
    for name, of in (("without", without), ("with", waited)):
        figures = [f"{statistics.median(kept):.0f}" if kept else "-" for kept in (of.threads, of.sockets)]
        held.add_row(name, f"{statistics.median(of.work):.0f}", f"{statistics.median(of.asked):.0f}", *figures)
    Console().print(table, held)
    return ratio


def _figures(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]


if __name__ == "__main__":
    sys.exit(main())
