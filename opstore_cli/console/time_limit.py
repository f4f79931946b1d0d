"""The time limit of completion, for the whole process: a shell waits for it at each Tab."""

import os
import threading
import time
from pathlib import Path

VARIABLE = "OPSTORE_COMPLETION_WITHIN"
DEFAULT = 1.0  # seconds
MAX = 3600.0  # seconds


def time_limit() -> float:
    """Return the seconds that completion may take: those of the variable, if they are from 0 to MAX."""
    try:
        seconds = float(os.environ.get(VARIABLE, DEFAULT))
    except ValueError:
        return DEFAULT
    return seconds if 0 <= seconds <= MAX else DEFAULT


def end_in_time() -> threading.Timer:
    """Have this process end without output, and with exit code 0, when its time is over; return the timer.

    The interpreter's start counts: on a busy machine it takes longer than the rest.
    """
    timer = threading.Timer(max(time_limit() - _age(), 0), os._exit, (0,))
    timer.daemon = True
    timer.start()
    return timer


def _age() -> float:
    """Return how many seconds ago the process started; 0 where the system can't tell."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return age if 0 < age < MAX else 0.0
