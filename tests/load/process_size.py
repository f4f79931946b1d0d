"""What a process holds, as /proc shows it: memory, threads, descriptors; sampled while it works."""

import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

AVAILABLE = os.path.isdir("/proc/self/fd")


@dataclass(frozen=True)
class Size:
    """What a process holds: bytes of memory of its own, threads, descriptors."""

    memory: int
    threads: int
    descriptors: int


def size_of(pid: int) -> Size:
    """Return what the process holds. Memory is what it does not share with files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return Size(
        memory=int(status["RssAnon"].split()[0]) * 1024,
        threads=int(status["Threads"]),
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
    )


def sockets_of(pid: int) -> int:
    """Return how many sockets the process has open."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(descriptor).startswith("socket:")
    return found


@contextmanager
def sampled(pid: int, interval: float) -> Iterator[list[Size]]:
    """Yield a list that grows by a sample each interval (seconds) during the context."""
    samples: list[Size] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(interval):
            samples.append(size_of(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def growth(samples: list[Size]) -> Size:
    """Return the median of the last third of the samples minus that of the third before."""
    third = len(samples) // 3
    middle, later = samples[third : 2 * third], samples[-third:]

    def between(name: str) -> int:
        before, after = (statistics.median(float(getattr(each, name)) for each in some) for some in (middle, later))
        return round(after - before)

    return Size(between("memory"), between("threads"), between("descriptors"))
