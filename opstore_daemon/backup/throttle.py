"""Report progress a few times a second, and everything else at once."""

import time
from collections.abc import Callable

from opstore_daemon.protocol.backup_lines import Moved, Problem

INTERVAL = 0.1  # seconds


class Throttle:
    """A report that passes on what `write` shall write."""

    def __init__(self, write: Callable[[Moved | Problem], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._step, self._next = "", 0.0

    def __call__(self, line: Moved | Problem) -> None:
        now = self._clock()
        if isinstance(line, Moved):
            is_news = line.step != self._step or line.done == line.total
            if now < self._next and not is_news:
                return
            self._step, self._next = line.step, now + INTERVAL
        self._write(line)
