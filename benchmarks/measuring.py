"""What the benchmarks share: rounds in a shuffled order, medians with their spread, tables of ratios, and files."""

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
    """Return the wall seconds that the job took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_rounds(jobs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all jobs once a round, each round in another order, and return what each job returned."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name in random.sample(list(jobs), len(jobs)):
            found[name].append(jobs[name]())
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is aligned left."""
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
    """Print median, spread and ratio to the yardstick of each row; return the ratios. A goal is a ratio."""
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
    """Read, hash, write and fsync a file in one thread: the yardstick."""
    seen = hashlib.sha256()
    buffer = memoryview(bytearray(MIB))
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while count := reading.readinto(buffer):
            seen.update(buffer[:count])
            writing.write(buffer[:count])
        os.fsync(writing.fileno())
    return seen.hexdigest()


def copy(source: Path, target: Path) -> None:
    """Copy with `cp`, and fsync."""
    subprocess.run(["/bin/cp", source, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def write_random(path: Path, size: int) -> None:
    """Write a file of `size` random bytes."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(random.randbytes(MIB))
        file.write(random.randbytes(size % MIB))


def change(path: Path) -> None:
    """Change the content of the file, so that the store does not have its bytes yet."""
    with path.open("r+b") as file:
        file.write(os.urandom(16))


def warm(path: Path) -> None:
    """Read the file into the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(16 * MIB):
            pass


def cool(path: Path) -> None:
    """Drop the file from the page cache."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def touch_memory(folder: Path, size: int) -> None:
    """Make `size` bytes of memory available to files: pages that were not touched for a while are slow at first.

    It writes a file and deletes it. Anonymous memory would not do: it comes back as huge pages, which the system uses
    for files last (measured: writing a GiB then takes 0.2 to 2 s; after this function, 0.16 s each time).
    """
    piece = random.randbytes(MIB)
    with (folder / "touched").open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(piece)
    (folder / "touched").unlink()


def empty(folder: Path) -> None:
    """Delete the content of the folder and keep the folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
