"""Processes that tests start or cause."""

import os
from contextlib import suppress
from pathlib import Path


def is_running(number: int) -> bool:
    """Return whether the process runs; one that has ended may be a zombie until its parent waits for it."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{number}/stat")
    try:
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # its parent has waited for it in between
        return False


def children_of(number: int) -> list[int]:
    """Return the numbers of the processes that this one has started; none on a system without /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            if int(stat.read_text().rpartition(")")[2].split()[1]) == number:
                found.append(int(stat.parent.name))
    return found
