"""What a backup reports while it runs: the progress of its steps, and the blobs that are not intact."""

from collections.abc import Callable

from opstore_daemon.protocol.backup_lines import Moved, Problem

Report = Callable[[Moved | Problem], None]


class Step:
    """One step, which handles `total` bytes, or things of another unit."""

    def __init__(self, report: Report, name: str, total: int, unit: str = "bytes") -> None:
        self._report, self._name, self._total, self._done, self._unit = report, name, total, 0, unit
        self._tell()

    def advance(self, count: int) -> None:
        """Report that `count` more are done."""
        self._done = min(self._done + count, self._total)
        self._tell()

    def advance_to(self, done: int) -> None:
        """Report that `done` are done."""
        self.advance(done - self._done)

    def _tell(self) -> None:
        self._report(Moved(step=self._name, done=self._done, total=self._total, unit=self._unit))


def count_of(number: int, noun: str) -> str:
    """Return the number and the noun, such as `1 blob` or `2 blobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
