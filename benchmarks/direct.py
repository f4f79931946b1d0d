"""Measure transfers through the daemon and past it, with an object store of its own: time, and CPU time of the daemon.

Prints a table of pushes and one of pulls. The daemon transfers bytes itself below the sizes at which both take as long
(store.ingest.open_upload.DIRECT_FROM, web.api.blobs.DIRECT_FROM).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.daemon import OPSTORE, Daemon, large
from benchmarks.measuring import MIB, change, in_rounds, show, timed, write_random
from opstore_cli import OpStoreClient
from tests.support.object_store import Bucket, ObjectStore


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=float, nargs="+", default=[1, 4, 8, 16, 64, 1024], help="sizes")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in which the order is shuffled (default: 5)")
    asked = parser.parse_args()
    os.environ.setdefault("OPSTORE_CACHE_SIZE", "0")
    with (
        tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as text,
        ObjectStore() as store,
        store.fresh_bucket() as bucket,
        _serving(Path(text), bucket) as daemon,
        OpStoreClient(daemon.url, token=daemon.token) as past,
        OpStoreClient(daemon.url, token=daemon.token) as through,
    ):
        through._api.direct = None
        source, target = Path(text) / "source", Path(text) / "target"
        clients, pushes, pulls = {"through": through, "past": past}, [], []

        def push(name: str) -> None:
            clients[name].push("big", source)

        def pull(name: str) -> None:
            clients[name].pull("big", to=target)

        for size in (int(mib * MIB) for mib in asked.mib):
            write_random(source, size)
            pushes.append((large(size), *_measure(daemon, push, lambda: change(source), asked.rounds)))
            pulls.append((large(size), *_measure(daemon, pull, lambda: target.unlink(missing_ok=True), asked.rounds)))
    for what, rows in (("push", pushes), ("pull", pulls)):
        columns = (f"{what} of", "through it: s", "past it: s", "through it: CPU s", "past it: CPU s")
        show(f"Through the daemon and past it, medians; the daemon's CPU time of one {what}", columns, rows)
    return 0


@contextmanager
def _serving(folder: Path, bucket: Bucket) -> Iterator[Daemon]:
    daemon = Daemon(folder)
    command = [OPSTORE, "serve", "--saver", bucket.url, "--direct", "on"]
    environ = {**daemon.environ, **bucket.environ}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (daemon.home / "daemon.json").exists():
            if process.poll() is not None:
                sys.exit(f"opstore serve ended with {process.returncode}")
            time.sleep(0.05)
        yield daemon
    finally:
        process.terminate()
        process.wait()


def _measure(
    daemon: Daemon, transfer: Callable[[str], None], prepare: Callable[[], None], rounds: int
) -> tuple[str, ...]:
    """Return the medians of both ways: seconds, and CPU seconds of the daemon. `prepare` comes before each transfer."""
    ways = ("through", "past")
    used: dict[str, list[float]] = {way: [] for way in ways}

    def measured(way: str) -> float:
        prepare()
        before = daemon.used()
        seconds = timed(lambda: transfer(way))
        used[way].append(daemon.used() - before)
        return seconds

    for way in ways:
        measured(way)  # the first one pays for what is created once
        used[way].clear()
    seconds = in_rounds({way: lambda way=way: measured(way) for way in ways}, rounds)  # type: ignore[misc]
    return tuple(f"{statistics.median(values):.3f}" for values in (*seconds.values(), *used.values()))


if __name__ == "__main__":
    sys.exit(main())
