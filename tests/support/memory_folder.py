"""Print a folder that is in memory, for the files of `make test`, or nothing if this system has none that will do.

Each of thousands of tests has a database of its own. On a disk, they wait for its syncs most of the time. `make
test-all` leaves the files on the disk, so that every test also runs on a real one.
"""

import os
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - pytest creates a private folder in it
GIB = 1024**3
ROOM = 2 * GIB  # the tests need a tenth of it at once
MEMORY = 4 * GIB  # of which the files are a part
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def memory_folder() -> Path | None:
    """Return the folder; None if it has too little room or memory, or if programs can't run there."""
    try:
        room = os.statvfs(FOLDER)
        free = min(_available(), _allowed())
    except OSError:  # a system without it
        return None
    fits = room.f_bavail * room.f_frsize >= ROOM and free >= MEMORY
    usable = os.access(FOLDER, os.W_OK | os.X_OK) and not room.f_flag & os.ST_NOEXEC
    return FOLDER if fits and usable else None


def _available() -> int:
    lines = (line.split() for line in MEMINFO.read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")


def _allowed() -> int:
    """Return what a container may still use; it counts files in memory as its own."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except OSError:  # no container, or an old kernel
        return MEMORY
    return MEMORY if limit == "max" else int(limit) - used


if __name__ == "__main__":
    print(memory_folder() or "")  # noqa: T201 - for make
