"""Measure pulls through the daemon and past it, from an object store of its own: seconds, and the daemon's CPU time.

Prints a table. The daemon sends bytes itself below the size at which both take as long (web.api.blobs.DIRECT_FROM).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.daemon import OPSTORE, Daemon, large
from benchmarks.measuring import MIB, in_rounds, show, timed, write_random
from opstore_cli import OpStoreClient
from tests.support.object_store import Bucket, ObjectStore


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=float, nargs="+", default=[1, 4, 8, 16, 64, 1024], help="sizes")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in which the order is shuffled (default: 5)")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as text,
        ObjectStore() as store,
        store.fresh_bucket() as bucket,
        _serving(Path(text), bucket) as daemon,
        OpStoreClient(daemon.url, token=daemon.token) as past,
        OpStoreClient(daemon.url, token=daemon.token) as through,
    ):
        through._api.direct = None
        rows = [
            _measure(Path(text), daemon, {"through": through, "past": past}, int(mib * MIB), asked.rounds)
            for mib in asked.mib
        ]
    columns = ("pull of", "through it: s", "past it: s", "through it: CPU s", "past it: CPU s")
    show("Pulls through the daemon and past it, medians; the daemon's CPU time of one pull", columns, rows)
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
    folder: Path, daemon: Daemon, clients: dict[str, OpStoreClient], size: int, rounds: int
) -> tuple[str, ...]:
    source, target = folder / "source", folder / "target"
    write_random(source, size)
    version = clients["past"].push("big", source, new=True)
    os.environ.setdefault("OPSTORE_CACHE_SIZE", "0")
    used: dict[str, list[float]] = {name: [] for name in clients}

    def pull(name: str) -> float:
        target.unlink(missing_ok=True)
        before = daemon.used()
        seconds = timed(lambda: clients[name].pull(str(version), to=target))
        used[name].append(daemon.used() - before)
        return seconds

    for name in clients:
        pull(name)  # the first one pays for what is created once
        used[name].clear()
    seconds = in_rounds({name: lambda name=name: pull(name) for name in clients}, rounds)  # type: ignore[misc]
    figures = [statistics.median(values) for values in (*seconds.values(), *used.values())]
    forms = ("{:.3f}", "{:.3f}", "{:.3f}", "{:.3f}")
    return (large(size), *(form.format(figure) for form, figure in zip(forms, figures, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
