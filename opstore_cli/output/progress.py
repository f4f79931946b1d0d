"""The progress of transfers: bars on a terminal, lines in a log."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from opstore_cli.output.escaping import escape_controls
from opstore_cli.output.terminal import is_dumb, is_terminal
from opstore_daemon.protocol.sizes import format_size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHOW_AFTER = 0.5  # seconds from the first bytes to the bars
LOG_INTERVAL = 5.0  # seconds between lines, and before the first one
RATE_WINDOW = 10.0  # seconds over which a line's rate is measured
UPDATE_INTERVAL = 0.1  # seconds between two samples of a rate, and between two updates of the bars
Parts = Sequence[tuple[str, int | None]]  # of a display: the name and the total bytes of each transfer, None: unknown

NARROW = 72  # columns below which there is no room for a bar


def new_display(
    title: str,
    parts: "Parts",
    write: Callable[[str], None],
    *,
    colored: bool,
    screen: "Screen | None" = None,
    unit: str = "",
) -> "BarProgress | LogProgress":
    """Return bars if stderr is a terminal that can draw them, else lines for `write`.

    `unit` is the word for what is counted, such as `rows`; empty: bytes.
    """
    if is_terminal(sys.stderr) and not is_dumb():
        return BarProgress(title, parts, colored=colored, screen=screen, unit=unit)
    return LogProgress(title, parts, write, unit=unit)


def escape_parts(parts: "Parts | None") -> "Parts":
    """Return the parts with names that can't control a terminal; without parts, one transfer without a name."""
    return [(escape_controls(name), size) for name, size in parts or [("", None)]]


class NullDisplay:
    """A display that shows nothing."""

    def moved(self, number: int, done: int, total: int | None) -> None: ...

    def ended(self, number: int) -> None: ...

    def retitle(self, title: str) -> None: ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class RateMeter:
    """Measures bytes per second over the last RATE_WINDOW seconds."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def record(self, now: float, done: int) -> None:
        """Record that `done` bytes were transferred at time `now`, in seconds."""
        if self._samples and now - self._samples[-1][0] < UPDATE_INTERVAL:
            return
        self._samples.append((now, done))
        while now - self._samples[0][0] > RATE_WINDOW and len(self._samples) > 2:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Bytes per second, 0 until there are two samples."""
        (start, first), (end, last) = (self._samples[0], self._samples[-1]) if self._samples else ((0.0, 0), (0.0, 0))
        return (last - first) / (end - start) if end > start else 0.0


def describe(done: int, total: int | None, rate: float) -> str:
    """Return the progress as text: `1.2 of 8.0 GB (15 %), 870 MB/s, 8 s left`."""
    words = [format_size(done) if total is None else f"{_of(done, total)} ({100 * done // total if total else 100} %)"]
    if total is not None and done >= total:
        return ", ".join([*words, "finishing"])
    if rate > 0:
        words.append(f"{format_size(rate)}/s")
        if total is not None:
            words.append(f"{format_duration((total - done) / rate)} left")
    return ", ".join(words)


def amount(done: int, total: int | None, unit: str) -> str:
    """Return how many are done, such as `3,000 of 12,000 rows`."""
    return f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"


def _of(done: int, total: int) -> str:
    unit = format_size(total).rpartition(" ")[2]
    return f"{format_size(done).removesuffix(f' {unit}')} of {format_size(total)}"


def format_duration(seconds: float) -> str:
    """Return a duration in one unit: `99 s`, `2 min`, `3 h`."""
    if seconds < 100:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 100 * 60 else f"{round(seconds / 3600)} h"


@dataclass(slots=True)
class _Transfer:
    name: str
    total: int | None
    done: int = 0
    started: bool = False
    ended: bool = False


class Transfers:
    """The progress of each transfer, which may be reported from any thread.

    `resumed`: bytes that an earlier process transferred. They count as done, but not for the rate.
    """

    def __init__(
        self, title: str, parts: Sequence[tuple[str, int | None]], clock: Callable[[], float] = monotonic
    ) -> None:
        self.title = title
        self.transfers = [_Transfer(name, total) for name, total in parts]
        self.clock = clock
        self.resumed = 0
        self.first_moved_at: float | None = None
        self._lock = threading.Lock()

    def moved(self, number: int, done: int, total: int | None) -> None:
        with self._lock:
            now, transfer = self.clock(), self.transfers[number]
            if self.first_moved_at is None:
                self.first_moved_at = now
            if not transfer.started:
                self.resumed += done
            transfer.started, transfer.done = True, done
            transfer.total = transfer.total if total is None else total
            self.show(now, number)

    def retitle(self, title: str) -> None:
        """Change the title, which the display shows when it is updated the next time."""
        self.title = title

    def ended(self, number: int) -> None:
        with self._lock:
            self.transfers[number].ended = True
            self.show(self.clock(), number)

    def show(self, now: float, number: int) -> None:
        """Update the display after transfer `number` has reported."""

    def is_worth_showing(self, now: float) -> bool:
        """Return whether bytes have been moving for a while, and some are left."""
        is_long = self.first_moved_at is not None and now - self.first_moved_at >= SHOW_AFTER
        return is_long and (self.total is None or self.done < self.total)

    @property
    def done(self) -> int:
        return sum(transfer.done for transfer in self.transfers)

    @property
    def total(self) -> int | None:
        totals = [transfer.total for transfer in self.transfers if transfer.total is not None]
        return sum(totals) if len(totals) == len(self.transfers) else None

    @property
    def count_ended(self) -> int:
        return sum(transfer.ended for transfer in self.transfers)


class LogProgress(Transfers):
    """Writes a line every LOG_INTERVAL seconds."""

    def __init__(
        self,
        title: str,
        parts: Sequence[tuple[str, int | None]],
        write: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
        *,
        unit: str = "",
    ) -> None:
        super().__init__(title, parts, clock)
        self._write, self._unit = write, unit
        self._meter = RateMeter()
        self._written_at: float | None = None

    def show(self, now: float, number: int) -> None:
        self._meter.record(now, self.done - self.resumed)
        last = self.first_moved_at if self._written_at is None else self._written_at
        if last is not None and now - last >= LOG_INTERVAL:
            self._written_at = now
            ended = f"{self.count_ended} done, " if len(self.transfers) > 1 else ""
            self._write(f"{self.title}: {ended}{self._described()}")

    def _described(self) -> str:
        if self._unit:
            return amount(self.done, self.total, self._unit)
        return describe(self.done, self.total, self._meter.rate)

    def stop(self) -> None:
        """Do nothing: the lines stay."""


class BarProgress(Transfers):
    """Draws a bar for each transfer that is running and, if there are several, one for all of them."""

    def __init__(
        self,
        title: str,
        parts: Sequence[tuple[str, int | None]],
        *,
        colored: bool,
        clock: Callable[[], float] = monotonic,
        screen: "Screen | None" = None,
        unit: str = "",
    ) -> None:
        """Draw on the screen that others draw on, too, or on one of its own."""
        super().__init__(title, parts, clock)
        self._unit = unit
        self._screen = screen or Screen(colored=colored, clock=clock)
        self._bars: Progress | None = None
        self._sum: TaskID | None = None
        self._tasks: dict[int, TaskID] = {}
        self._updated_at = 0.0
        self._resumed_shown = 0
        self._stopped = False

    def show(self, now: float, number: int) -> None:
        if self._stopped:
            return  # a thread that an interrupt could not end in time
        if self._bars is None:
            if not self.is_worth_showing(now):
                return
            self._bars = self._screen.open()
        elif now - self._updated_at < UPDATE_INTERVAL and not self._is_news(number):
            return
        self._updated_at = now
        if len(self.transfers) > 1:
            self._show_all(self._bars)
        for each, transfer in enumerate(self.transfers):
            self._show_one(self._bars, each, transfer)

    def _is_news(self, number: int) -> bool:
        transfer = self.transfers[number]
        return transfer.ended or transfer.done == transfer.total or number not in self._tasks

    def _show_all(self, bars: "Progress") -> None:
        if self._sum is None:
            self._sum = bars.add_task("", total=None)
        # Assigned, not updated: rich must not count bytes of an earlier process for the speed.
        next(task for task in bars.tasks if task.id == self._sum).completed += self.resumed - self._resumed_shown
        self._resumed_shown = self.resumed
        description = f"{self.title}, {self.count_ended} done"
        bars.update(self._sum, description=description, completed=self.done, total=self.total)

    def _show_one(self, bars: "Progress", number: int, transfer: _Transfer) -> None:
        task = self._tasks.get(number)
        name = transfer.name if len(self.transfers) > 1 else self.title
        if transfer.ended or not transfer.started:
            if task is not None:
                bars.remove_task(self._tasks.pop(number))
        elif task is None:
            self._tasks[number] = bars.add_task(name, completed=transfer.done, total=transfer.total, unit=self._unit)
        else:
            bars.update(task, description=name, completed=transfer.done, total=transfer.total)

    def stop(self) -> None:
        """Remove the bars."""
        with self._lock:
            self._stopped = True
            if self._bars is not None:
                for task in (self._sum, *self._tasks.values()):
                    if task is not None:
                        self._bars.remove_task(task)
                self._bars = None
                self._screen.close()


class Screen:
    """The bars on a terminal, of all displays that are open: two sets of bars would overwrite each other."""

    def __init__(self, *, colored: bool, clock: Callable[[], float] = monotonic) -> None:
        self._colored = colored
        self._clock = clock
        self._lock = threading.Lock()
        self._bars: Progress | None = None
        self._displays = 0

    def open(self) -> "Progress":
        """Return the bars, which are drawn until each display that opened them has called `close`."""
        with self._lock:
            if self._bars is None:
                self._bars = _rich_progress(self._colored, self._clock)
                self._bars.start()
            self._displays += 1
            return self._bars

    def close(self) -> None:
        """Remove the bars if no other display needs them."""
        with self._lock:
            self._displays -= 1
            if self._bars is not None and self._displays == 0:
                self._bars.stop()
                self._bars = None


def _rich_progress(colored: bool, clock: Callable[[], float]) -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class Amount(DownloadColumn):
        def render(self, task: Task) -> Text:
            unit = task.fields.get("unit")
            if not unit:
                return super().render(task)
            total = None if task.total is None else int(task.total)
            return Text(amount(int(task.completed), total, unit), style="progress.download")

    class Speed(TransferSpeedColumn):
        def render(self, task: Task) -> Text:
            return Text("") if task.fields.get("unit") else super().render(task)

    console = Console(stderr=True, color_system="auto" if colored else None, markup=False, emoji=False)
    name = Column(no_wrap=True, overflow="ellipsis", min_width=8)
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False, table_column=name)]
    if console.width >= NARROW:
        columns += [BarColumn(bar_width=console.width // 5), Speed(Column(no_wrap=True))]
    columns += [Amount(table_column=Column(no_wrap=True)), TimeRemainingColumn(compact=True)]
    # stdout is not redirected: it is for data.
    return Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False, get_time=clock
    )
