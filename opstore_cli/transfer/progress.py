"""The events by which transfers report their progress."""

from collections.abc import Callable
from typing import Protocol

# Called with the bytes transferred so far and the bytes in total (None: unknown), from any thread.
Progress = Callable[[int, int | None], None]


class Display(Protocol):
    """Shows the progress of transfers, which are numbered from 0; called from any thread."""

    def moved(self, number: int, done: int, total: int | None) -> None:
        """Record that `done` of `total` bytes are transferred (total None: unknown)."""

    def ended(self, number: int) -> None:
        """Record that the transfer ended, successfully or not."""
