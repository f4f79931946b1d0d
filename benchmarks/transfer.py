"""Measure push and pull of one file against one Python pass that reads, hashes, writes and fsyncs it.

Runs whole processes, and the same within a warm client; with the source (or the blob) in the page cache, and not.
Prints a table for each size, and one of CPU time. `--gate` exits 1 if a ratio of a warm whole process is above it.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.daemon import Daemon, Ran, large
from benchmarks.measuring import (
    MIB,
    change,
    cool,
    copy,
    in_rounds,
    one_pass,
    show,
    show_ratios,
    timed,
    touch_memory,
    warm,
    write_random,
)
from opstore_cli import OpStoreClient

YARDSTICK = "one pass"
GOALS = {"push": 0.9, "pull": 0.8}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, nargs="+", default=[64, 1024, 4096], help="sizes (default: 64 1024 4096)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in which the order is shuffled (default: 5)")
    parser.add_argument("--gate", type=float, help="fail where push or pull takes more than so many passes")
    asked = parser.parse_args()
    worst = 0.0
    for mib in asked.mib:
        with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
            ratios = measure(Path(folder), mib * MIB, asked.rounds)
        worst = max(worst, ratios["push"], ratios["pull"])
    return int(asked.gate is not None and worst > asked.gate)


def measure(folder: Path, size: int, rounds: int) -> dict[str, float]:
    """Print the tables; return each result as a multiple of one pass."""
    source, target = folder / "source", folder / "target"
    write_random(source, size)
    with Daemon(folder) as daemon, OpStoreClient(daemon.url, token=daemon.token) as client:
        client.ops()
        ran: dict[str, list[Ran]] = {}

        def of(work: Callable[[], float], *, cold: bool = False, stored: bool = False) -> Callable[[], float]:
            """Return the job, with new bytes in a source that is warm or cold, or that the store has."""

            def run() -> float:
                change(source)
                warm(source)
                if stored:
                    client.push("big", source)
                if cold:
                    cool(daemon.blob() if stored else source)
                touch_memory(folder, 2 * size + 256 * MIB)
                seconds = work()
                target.unlink(missing_ok=True)
                daemon.forget_blobs()
                return seconds

            return run

        def command(name: str, *words: object) -> Callable[[], float]:
            def run() -> float:
                ran.setdefault(name, []).append(daemon.do(*words))
                return ran[name][-1].seconds

            return run

        pull = ("pull", "big", "-o", target)
        seconds = in_rounds(
            {
                YARDSTICK: of(lambda: timed(lambda: one_pass(source, target))),
                "cp and fsync": of(lambda: timed(lambda: copy(source, target))),
                "push": of(command("push", "push", "big", source)),
                "pull": of(command("pull", *pull), stored=True),
                "push, warm client": of(lambda: timed(lambda: client.push("big", source))),
                "pull, warm client": of(lambda: timed(lambda: client.pull("big", to=target)), stored=True),
                "one pass, cold": of(lambda: timed(lambda: one_pass(source, target)), cold=True),
                "push, cold": of(command("push, cold", "push", "big", source), cold=True),
                "pull, cold": of(command("pull, cold", *pull), cold=True, stored=True),
                "push of what is there": of(command("push of what is there", "push", "other", source), stored=True),
            },
            rounds,
        )
    ratios = show_ratios(f"{large(size)}, {rounds} rounds", seconds, YARDSTICK, GOALS)
    rows = []
    for name, each in ran.items():
        client_used, daemon_used = (
            statistics.median(of) for of in zip(*((r.client, r.daemon) for r in each), strict=True)
        )
        rows.append((name, f"{client_used:.2f}", f"{daemon_used:.2f}"))
    show(f"{large(size)}: seconds of the processor", ("", "client", "daemon"), rows)
    return ratios


if __name__ == "__main__":
    sys.exit(main())
