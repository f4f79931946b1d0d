"""The progress of transfers in a notebook: one output of the cell, which is updated, and needs no widgets.

rich and tqdm need ipywidgets for that, and a notebook that is saved keeps no more of a widget than an error message.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from html import escape
from time import monotonic
from typing import Any

from opstore_cli.output.progress import RateMeter, Transfers, describe, format_duration
from opstore_daemon.protocol.sizes import format_size

INTERVAL = 0.25  # seconds between two updates: each is a message to the browser


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, or of another front end of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookProgress(Transfers):
    """Shows a line and a bar for each transfer that is running, and one for all of them if there are several.

    At the end a line says how much was transferred. A front end without HTML shows the text alone.
    """

    def __init__(
        self, title: str, parts: Sequence[tuple[str, int | None]], clock: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(title, parts, clock)
        self._meters = [RateMeter() for _ in parts]
        self._meter = RateMeter()
        self._handle: Any = None  # of the output of the cell
        self._updated_at = 0.0
        self._stopped = False

    def show(self, now: float, number: int) -> None:
        self._meter.record(now, self.done - self.resumed)
        self._meters[number].record(now, self.transfers[number].done)
        if self._stopped or not (self._handle or self.is_worth_showing(now)):
            return
        if self._handle is None or now - self._updated_at >= INTERVAL:
            self._updated_at = now
            self._display(list(self._lines()))

    def stop(self) -> None:
        """Replace the bars by a line on what was transferred."""
        with self._lock:
            self._stopped = True
            if self._handle is not None and self.first_moved_at is not None:
                seconds = max(self.clock() - self.first_moved_at, 0.001)
                moved, total = self.done - self.resumed, self.total
                words = (
                    format_size(moved) if total in (None, self.done) else f"stopped at {describe(self.done, total, 0)}"
                )
                rate = f"{format_size(int(moved / seconds))}/s"
                self._display([(f"{self.title}: {words} in {format_duration(seconds)}, {rate}", None)])

    def _lines(self) -> Iterator[tuple[str, float | None]]:
        """Yield the text and the done fraction of each bar; None if the total is unknown."""
        several = len(self.transfers) > 1
        if several:
            title = f"{self.title}, {self.count_ended} done"
            yield self._line(title, self.done, self.total, self._meter.rate)
        for transfer, meter in zip(self.transfers, self._meters, strict=True):
            if transfer.started and not transfer.ended:
                name = transfer.name if several else self.title
                yield self._line(name, transfer.done, transfer.total, meter.rate)

    def _line(self, name: str, done: int, total: int | None, rate: float) -> tuple[str, float | None]:
        fraction = None if total is None else done / total if total else 1.0
        return f"{name}: {describe(done, total, rate)}", fraction

    def _display(self, lines: Sequence[tuple[str, float | None]]) -> None:
        output = {"text/plain": "\n".join(text for text, _ in lines), "text/html": "".join(map(_html, lines))}
        with suppress(Exception):  # a transfer does not fail because a front end can't show it
            if self._handle is None:
                from IPython.display import display

                self._handle = display(output, raw=True, display_id=True)
            else:
                self._handle.update(output, raw=True)


def _html(line: tuple[str, float | None]) -> str:
    text, fraction = line
    bar = "" if fraction is None else f'<progress max="1" value="{fraction:.3f}"></progress> '
    return f"<div>{bar}{escape(text)}</div>"
