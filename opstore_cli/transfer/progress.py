"""The events by which transfers report their progress."""

from typing import Protocol


class Display(Protocol):
    """Where transfers say how far they are, each by its place among them; from any thread."""

    def moved(self, number: int, done: int, total: int | None) -> None:
        """So many bytes are there, of all or of nobody knows how many."""

    def ended(self, number: int) -> None:
        """It is over, well or not."""
