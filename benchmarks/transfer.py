"""Push and pull of one big file against one Python pass that reads, hashes, writes and fsyncs it, interleaved.

The yardstick runs in the same rounds as what it measures, since these machines are shared and noisy; only the
ratios mean something. Prints a table. `--gate` fails where a ratio is above it.
"""

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from opstore_cli import OpStoreClient

PIECE = 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file (default: 1024)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in which the order is shuffled (default: 5)")
    parser.add_argument("--gate", type=float, help="fail where push or pull takes more than so many passes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        ratios = measure(Path(folder), asked.mib, asked.rounds)
    return int(asked.gate is not None and max(ratios.values()) > asked.gate)


def measure(folder: Path, mib: int, rounds: int) -> dict[str, float]:
    """Prints the table; returns push and pull as multiples of one pass."""
    source = folder / "source"
    write_random(source, mib)
    os.environ["OPSTORE_HOME"] = str(folder / "home")
    for name in ("OPSTORE_URL", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE"):
        os.environ.pop(name, None)
    seconds: dict[str, list[float]] = {"one pass": [], "push": [], "pull": []}
    try:
        with OpStoreClient() as client:
            client.ops()
            for number in range(rounds):
                change(source, number)
                read_all(source)
                pulled = folder / "pulled"

                def push(number: int = number) -> None:
                    client.push("big", source, message=f"round {number}")

                def pull(pulled: Path = pulled) -> None:
                    client.pull("big", to=pulled)

                # A pull needs the push before it; where the yardstick stands between them is drawn.
                order: list[tuple[str, Callable[[], object]]] = [("push", push), ("pull", pull)]
                order.insert(random.randrange(3), ("one pass", lambda: one_pass(source, folder / "copy")))
                for name, work in order:
                    touch_memory(folder, mib + mib // 4)
                    began = time.perf_counter()
                    work()
                    seconds[name].append(time.perf_counter() - began)
                pulled.unlink()
                (folder / "copy").unlink()
                shutil.rmtree(folder / "home" / "blobs" / "blobs", ignore_errors=True)
                (folder / "home" / "blobs" / "blobs").mkdir(mode=0o700)
    finally:
        subprocess.run([sys.executable, "-m", "opstore_cli", "stop"], check=True, capture_output=True)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {name: median / medians["one pass"] for name, median in medians.items()}
    table = Table(title=f"{mib} MiB, {rounds} rounds")
    for column in ("", "median s", "min s", "max s", "passes"):
        table.add_column(column, justify="right")
    for name, times in seconds.items():
        row = (medians[name], min(times), max(times), ratios[name])
        table.add_row(name, *(f"{value:.2f}" for value in row))
    Console().print(table)
    return {name: ratios[name] for name in ("push", "pull")}


def one_pass(source: Path, target: Path) -> str:
    """The yardstick: reads, hashes, writes and fsyncs, in one thread."""
    seen = hashlib.sha256()
    buffer = memoryview(bytearray(PIECE))
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while count := reading.readinto(buffer):
            seen.update(buffer[:count])
            writing.write(buffer[:count])
        os.fsync(writing.fileno())
    return seen.hexdigest()


def write_random(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(random.randbytes(PIECE))


def change(path: Path, number: int) -> None:
    """Other bytes, so that nothing is there already."""
    with path.open("r+b") as file:
        file.write(number.to_bytes(8, "big") + os.urandom(8))


def read_all(path: Path) -> None:
    """Brings the file into the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(16 * PIECE):
            pass


def touch_memory(folder: Path, mib: int) -> None:
    """Makes the machine have so much memory at hand for files: pages not touched for a while are slow at first.

    By a file that is written and removed. Memory that is touched as such goes back in huge pages, and those the system
    takes for a file last (measured: a GiB is then written in 0.2 to 2 s, after this in 0.16 s each time).
    """
    piece = random.randbytes(PIECE)
    with (folder / "touched").open("wb", buffering=0) as file:
        for _ in range(mib):
            file.write(piece)
    (folder / "touched").unlink()


if __name__ == "__main__":
    sys.exit(main())
