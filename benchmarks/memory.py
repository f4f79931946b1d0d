"""Measure the peak memory of daemon and client, for one large file, a folder, and eight clients at once.

Prints a table of each. `--gate` exits 1 if a peak is above its limit in MiB.
"""

import argparse
import filecmp
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.daemon import Daemon, large
from benchmarks.measuring import MIB, show, write_random

CLIENTS = 8
GOALS = {"client": 80, "daemon": 100, "daemon of many": 300}  # MiB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=8192, help="size of the file (default: 8192)")
    parser.add_argument("--files", type=int, default=10_000, help="files in the folder (default: 10000)")
    parser.add_argument("--each", type=int, default=512, help="MiB that each of eight clients moves (default: 512)")
    parser.add_argument("--gate", type=float, help="fail where a peak is above so many MiB")
    asked = parser.parse_args()
    works: list[Callable[[Path], list[float]]] = [
        lambda folder: one(folder, asked.mib * MIB, 0),
        lambda folder: one(folder, asked.mib * MIB // 8, asked.files),
        lambda folder: many(folder, asked.each * MIB),
    ]
    peaks: list[float] = []
    for work in works:
        with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
            peaks += work(Path(folder))
    return int(asked.gate is not None and max(peaks) > asked.gate)


def one(folder: Path, size: int, files: int) -> list[float]:
    """Push and pull; print and return the peaks."""
    source, target = folder / "source", folder / "target"
    _make(source, size, files)
    rows: list[tuple[str, float, float]] = []
    with Daemon(folder) as daemon:
        for words in (("push", "big", source), ("pull", "big", "-o", target)):
            ran = daemon.do(*words)
            rows.append((str(words[0]), ran.peak, daemon.peak()))
    if not _are_alike(source, target):
        raise SystemExit("what was pulled differs from what was pushed")
    what = f"{large(size)}{f' in {files} files' if files else ''}"
    title = f"{what}: peaks in MiB; goals: client {GOALS['client']}, daemon {GOALS['daemon']}"
    show(title, ("", "client", "daemon"), [(way, f"{client:.0f}", f"{held:.0f}") for way, client, held in rows])
    return [peak for _, *both in rows for peak in both]


def many(folder: Path, size: int) -> list[float]:
    """Push with eight clients at once, then pull; print and return the daemon's peaks."""
    with Daemon(folder) as daemon:
        sources = [folder / f"source{number}" for number in range(CLIENTS)]
        for source in sources:
            write_random(source, size)
        rows = []
        for way in ("push", "pull"):
            begun = []
            for number, source in enumerate(sources):
                words = ("push", f"op{number}", source) if way == "push" else ("pull", f"op{number}", "-d", "out", "-f")
                begun.append(daemon.begin(*words))
            for process in begun:
                if process.wait():
                    raise SystemExit(f"a {way} ended with {process.returncode}")
            rows.append((way, daemon.peak()))
    title = f"{CLIENTS} clients at once, {large(size)} each: the daemon's peak in MiB; goal: {GOALS['daemon of many']}"
    show(title, ("", "daemon"), [(way, f"{peak:.0f}") for way, peak in rows])
    return [peak for _, peak in rows]


def _make(source: Path, size: int, files: int) -> None:
    if not files:
        write_random(source, size)
        return
    source.mkdir()
    for number in range(files):
        (source / f"{number % 100:02}").mkdir(exist_ok=True)
        (source / f"{number % 100:02}/{number}").write_bytes(random.randbytes(size // files))


def _are_alike(source: Path, target: Path) -> bool:
    if source.is_file():
        return filecmp.cmp(source, target, shallow=False)
    names = [[path.relative_to(root) for path in sorted(root.rglob("*"))] for root in (source, target)]
    files = [name for name in names[0] if (source / name).is_file()]
    return names[0] == names[1] and all(filecmp.cmp(source / name, target / name, shallow=False) for name in files)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
