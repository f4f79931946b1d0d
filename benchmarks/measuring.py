"""What the benchmarks share: rounds in a shuffled order, medians with their spread, a table of ratios, and files."""

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

KIB, MIB = 1024, 1024 * 1024


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_rounds(jobs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each job returned in each round, in which all of them run once, in an order of its own."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name in random.sample(list(jobs), len(jobs)):
            found[name].append(jobs[name]())
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table, its first column to the left."""
    table = Table(title=title, title_justify="left", min_width=len(title) + 2)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(width=max(110, Console().width))
    console.print(table)
    console.print()


def show_ratios(
    title: str,
    seconds: Mapping[str, Sequence[float]],
    yardstick: str,
    goals: Mapping[str, float] | None = None,
    unit: str = "s",
) -> dict[str, float]:
    """Prints median, spread and the ratio to the yardstick of each; returns the ratios. A goal is a ratio."""
    scale, form = (1, "{:.2f}") if unit == "s" else (1000, "{:.2f}")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: median / medians[yardstick] for name, median in medians.items()}
    rows = []
    for name, values in seconds.items():
        numbers = (form.format(value * scale) for value in (medians[name], min(values), max(values)))
        rows.append((name, *numbers, f"{ratios[name]:.2f}", f"{goals[name]:.2f}" if goals and name in goals else ""))
    show(title, ("", f"median {unit}", "min", "max", f"times {yardstick}", "goal"), rows)
    return ratios


# --- files ----------------------------------------------------------------------------------------------------------


def one_pass(source: Path, target: Path) -> str:
    """The yardstick: reads, hashes, writes and fsyncs, in one thread."""
    seen = hashlib.sha256()
    buffer = memoryview(bytearray(MIB))
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while count := reading.readinto(buffer):
            seen.update(buffer[:count])
            writing.write(buffer[:count])
        os.fsync(writing.fileno())
    return seen.hexdigest()


def copy(source: Path, target: Path) -> None:
    """`cp`, and its fsync."""
    subprocess.run(["/bin/cp", source, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def write_random(path: Path, size: int) -> None:
    """A file of so many random bytes."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(random.randbytes(MIB))
        file.write(random.randbytes(size % MIB))


def change(path: Path) -> None:
    """Other bytes, so that nothing is there already."""
    with path.open("r+b") as file:
        file.write(os.urandom(16))


def warm(path: Path) -> None:
    """Brings the file into the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(16 * MIB):
            pass


def cool(path: Path) -> None:
    """Takes the file out of the page cache."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def touch_memory(folder: Path, size: int) -> None:
    """Makes the machine have so much memory at hand for files: pages not touched for a while are slow at first.

    By a file that is written and removed. Memory that is touched as such goes back in huge pages, and those the system
    takes for a file last (measured: a GiB is then written in 0.2 to 2 s, after this in 0.16 s each time).
    """
    piece = random.randbytes(MIB)
    with (folder / "touched").open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(piece)
    (folder / "touched").unlink()


def empty(folder: Path) -> None:
    """Removes what is in the folder, and keeps it."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
