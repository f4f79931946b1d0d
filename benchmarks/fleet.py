"""Measure daemons on PostgreSQL and an object store beside one daemon on SQLite and files, in the same rounds.

Prints pushes a second of 4 KiB, onto ops of their own and onto one op, and what a large push and its pull cost the
daemons in processor time. PostgreSQL is durable, as in production; the object store is a SeaweedFS on the same
machine, whose own time is not counted. Everything shares the machine's cores, so only ratios within the run count.
"""

import argparse
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.concurrency import Job, often, run
from benchmarks.daemon import TICKS, large
from benchmarks.measuring import KIB, MIB, percentile, show, timed, write_random
from opstore_cli import OpStoreClient

KINDS = {"SQLite, files, 1 daemon": 1, "PostgreSQL, S3, 1 daemon": 1, "PostgreSQL, S3, 3 daemons": 3}


class Fleet:
    """Daemons of one store, each a process with a home of its own, while the context lasts."""

    def __init__(self, folder: Path, count: int, options: Sequence[str] = (), environ: Mapping[str, str] | None = None):
        self.folder, self.token = folder, secrets.token_urlsafe(16)
        self.urls: list[str] = []
        self._count, self._options = count, options
        self._processes: list[subprocess.Popen[bytes]] = []
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPSTORE_", "PYTHON", "AWS_"))}
        self._environ = {**kept, **(environ or {})}

    def __enter__(self) -> Self:
        self.folder.mkdir()
        (self.folder / "token").write_text(self.token)
        (self.folder / "token").chmod(0o600)
        try:
            for number in range(self._count):
                self._start(number)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    def used(self) -> float:
        """Return the processor seconds that the daemons have used."""
        total = 0
        for process in self._processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def _start(self, number: int) -> None:
        reading, writing = os.pipe()
        environ = {
            **self._environ,
            "OPSTORE_HOME": str(self.folder / f"home{number}"),
            "OPSTORE_TOKEN_FILE": str(self.folder / "token"),
            "OPSTORE_READY_FD": str(writing),
        }
        command = [sys.executable, "-P", "-m", "opstore_daemon", "serve", *self._options]
        with open(self.folder / f"log{number}", "wb") as log:
            self._processes.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log, pass_fds=[writing]))
        os.close(writing)
        with open(reading) as ready:
            record = json.loads(ready.readline() or "{}")
        if "url" not in record:
            raise SystemExit((self.folder / f"log{number}").read_text())
        self.urls.append(record["url"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of clients (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in which the order is shuffled (default: 3)")
    parser.add_argument("--clients", type=int, default=[1, 3, 16], nargs="+", help="how many (default: 1 3 16)")
    parser.add_argument("--mib", type=int, default=1024, help="of the large push (default: 1024)")
    asked = parser.parse_args()
    from tests.support.object_store import ObjectStore
    from tests.support.postgres import Postgres

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd())))
        postgres = stack.enter_context(Postgres(durable=True, settings={"shared_buffers": "256MB"}))
        objects = stack.enter_context(ObjectStore())
        fleets = {}
        for number, (kind, count) in enumerate(KINDS.items()):
            options, environ = list[str](), dict[str, str]()
            if kind.startswith("PostgreSQL"):
                postgres.execute("CREATE DATABASE {}", f"fleet{number}")
                bucket = stack.enter_context(objects.fresh_prefix())
                options = ["--db", postgres.url(f"fleet{number}"), "--saver", bucket.url]
                environ = bucket.environ
            fleets[kind] = stack.enter_context(Fleet(folder / f"fleet{number}", count, options, environ))
        small(fleets, asked.clients, asked.seconds, asked.rounds)
        transfers(folder, fleets, asked.mib * MIB, asked.rounds)


def small(fleets: Mapping[str, Fleet], clients: Sequence[int], seconds: float, rounds: int) -> None:
    """Print pushes a second, of clients that are spread over the daemons."""
    ways: list[tuple[str, Callable[..., None]]] = [("ops of their own", push_own), ("one op", push_one)]
    for place, work in ways:
        cases = [(kind, count) for kind in fleets for count in clients]
        took: dict[tuple[str, int], list[list[float]]] = {case: [] for case in cases}
        for _ in range(rounds):
            for kind, count in random.sample(cases, len(cases)):
                job: Job = (work, fleets[kind].urls, fleets[kind].token)
                took[kind, count].append(run(job, count, seconds))
        rows = []
        for (kind, count), runs in took.items():
            rate = statistics.median(len(each) for each in runs) / seconds
            base = statistics.median(len(each) for each in took[next(iter(fleets)), count]) / seconds
            every = [value for each in runs for value in each]
            rows.append((
                kind, str(count), f"{rate:.0f}", f"{rate / base:.2f}", f"{statistics.median(every) * 1000:.1f}",
                f"{percentile(every, 99) * 1000:.1f}",
            ))  # fmt: skip
        show(
            f"pushes of 4 KiB onto {place}, {rounds} rounds of {seconds:g} s",
            ("", "clients", "a second", "times SQLite", "median ms", "p99 ms"),
            rows,
        )


def push_own(number: int, urls: Sequence[str], token: str, seconds: float, ready: Any, queue: Any) -> None:
    """Push as often as possible to an op of this client's own."""
    _push(f"op{number}", urls[number % len(urls)], token, seconds, ready, queue)


def push_one(number: int, urls: Sequence[str], token: str, seconds: float, ready: Any, queue: Any) -> None:
    """Push as often as possible to the op of all clients."""
    _push("shared", urls[number % len(urls)], token, seconds, ready, queue)


def _push(op: str, url: str, token: str, seconds: float, ready: Any, queue: Any) -> None:
    with OpStoreClient(url, token=token) as client:
        queue.put(often(lambda: client.push(op, os.urandom(4 * KIB)), seconds, ready))


def transfers(folder: Path, fleets: Mapping[str, Fleet], size: int, rounds: int) -> None:
    """Print what a large push and its pull take, and what they cost the daemons."""
    source, target = folder / "source", folder / "target"
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        write_random(source, size)
        for kind, fleet in random.sample(list(fleets.items()), len(fleets)):
            with OpStoreClient(fleet.urls[0], token=fleet.token) as client:
                for what, work in (
                    ("push", lambda client=client: client.push("large", source)),
                    ("pull", lambda client=client: client.pull("large", to=target)),
                ):
                    used = fleet.used()
                    seconds = timed(work)
                    taken.setdefault((what, kind), []).append((seconds, fleet.used() - used))
            target.unlink()
    rows = []
    for (what, kind), each in sorted(taken.items()):
        wall, used = (statistics.median(values) for values in zip(*each, strict=True))
        rows.append((f"{what}: {kind}", f"{wall:.2f}", f"{used:.2f}"))
    show(f"{large(size)}, medians of {rounds} rounds", ("", "s", "processor s of the daemons"), rows)


if __name__ == "__main__":
    main()
