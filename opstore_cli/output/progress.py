"""How far transfers are, each and all of them, and how it is shown: as bars on a terminal, as lines elsewhere."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from opstore_cli.output.cells import format_size

PATIENCE = 0.5  # seconds that bytes have been moving before there is a bar
EVERY = 5.0  # seconds between lines, and before the first one
WINDOW = 10.0  # seconds whose pace counts
STEP = 0.1  # seconds between two looks at the pace
NARROW = 72  # columns below which there is no room for a bar


class NullDisplay:
    """Nobody is describe."""

    def moved(self, number: int, done: int, total: int | None) -> None: ...

    def ended(self, number: int) -> None: ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class RateMeter:
    """Bytes a second, over the last seconds."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def at(self, now: float, done: int) -> None:
        """So many were there at that time."""
        if self._seen and now - self._seen[-1][0] < STEP:
            return
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """0 where it is not known yet."""
        (began, first), (ended, last) = (self._seen[0], self._seen[-1]) if self._seen else ((0.0, 0), (0.0, 0))
        return (last - first) / (ended - began) if ended > began else 0.0


def describe(done: int, total: int | None, rate: float) -> str:
    """`1.2 of 8.0 GB (15 %), 870 MB/s, 8 s left`."""
    words = [format_size(done) if total is None else f"{_of(done, total)} ({100 * done // total if total else 100} %)"]
    if total is not None and done >= total:
        return ", ".join([*words, "finishing"])
    if rate > 0:
        words.append(f"{format_size(rate)}/s")
        if total is not None:
            words.append(f"{duration((total - done) / rate)} left")
    return ", ".join(words)


def _of(done: int, total: int) -> str:
    unit = format_size(total).rpartition(" ")[2]
    return f"{format_size(done).removesuffix(f' {unit}')} of {format_size(total)}"


def duration(seconds: float) -> str:
    """Seconds, in one unit."""
    if seconds < 100:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 100 * 60 else f"{round(seconds / 3600)} h"


@dataclass(slots=True)
class _Transfer:
    name: str
    total: int | None
    done: int = 0
    begun: bool = False
    ended: bool = False
    pace: RateMeter = field(default_factory=RateMeter)


class _Progress:
    """What both displays know. What an earlier process had done counts as done, and not for the pace."""

    def __init__(
        self, what: str, parts: Sequence[tuple[str, int | None]], clock: Callable[[], float] = monotonic
    ) -> None:
        self.what = what
        self.transfers = [_Transfer(name, total) for name, total in parts]
        self.clock = clock
        self.began: float | None = None
        self._pace = RateMeter()
        self._moved = 0
        self._lock = threading.Lock()

    def moved(self, number: int, done: int, total: int | None) -> None:
        with self._lock:
            now, transfer = self.clock(), self.transfers[number]
            if self.began is None:
                self.began = now
            if transfer.begun:
                self._moved += done - transfer.done
            transfer.begun, transfer.done = True, done
            transfer.total = transfer.total if total is None else total
            transfer.pace.at(now, done)
            self._pace.at(now, self._moved)
            self.show(now, number)

    def ended(self, number: int) -> None:
        with self._lock:
            self.transfers[number].ended = True
            self.show(self.clock(), number)

    def show(self, now: float, number: int) -> None:
        """Shows how far it is; that transfer has moved."""

    def each(self, number: int) -> str:
        """How far one is."""
        transfer = self.transfers[number]
        return describe(transfer.done, transfer.total, transfer.pace.rate)

    def whole(self) -> str:
        """How far all are."""
        totals = [transfer.total for transfer in self.transfers]
        known = [total for total in totals if total is not None]
        total = sum(known) if len(known) == len(totals) else None
        words = describe(sum(transfer.done for transfer in self.transfers), total, self._pace.rate)
        if len(self.transfers) == 1:
            return words
        return f"{sum(transfer.ended for transfer in self.transfers)} done, {words}"

    def share(self) -> tuple[int, int | None]:
        """The bytes of all that are there, and all, for a bar."""
        known = [transfer.total for transfer in self.transfers if transfer.total is not None]
        return sum(transfer.done for transfer in self.transfers), sum(known) if known else None


class LogProgress(_Progress):
    """A line every few seconds, for a log."""

    def __init__(
        self,
        what: str,
        parts: Sequence[tuple[str, int | None]],
        write: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(what, parts, clock)
        self._write = write
        self._last: float | None = None

    def show(self, now: float, number: int) -> None:
        last = self.began if self._last is None else self._last
        if last is not None and now - last >= EVERY:
            self._last = now
            self._write(f"{self.what}: {self.whole()}")

    def stop(self) -> None:
        """There is nothing to take away."""


class BarProgress(_Progress):
    """A bar for each transfer that is moving, and one for all, once bytes have been moving for half a second."""

    def __init__(
        self,
        what: str,
        parts: Sequence[tuple[str, int | None]],
        *,
        colored: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(what, parts, clock)
        self._colored = colored
        self._progress: Any = None
        self._tasks: dict[int, Any] = {}
        self._all: Any = None
        self._shown = 0.0

    def show(self, now: float, number: int) -> None:
        if self._progress is None:
            if self.began is None or now - self.began < PATIENCE:
                return
            self._progress = _rich_progress(self._colored)
            self._all = self._progress.add_task(self.what, total=None, told="")
            self._progress.start()
        elif now - self._shown < STEP and not self._is_news(number):
            return
        self._shown = now
        if len(self.transfers) > 1:
            for place, transfer in enumerate(self.transfers):
                self._show_one(place, transfer)
        done, total = self.share()
        self._progress.update(self._all, completed=done, total=total, told=self.whole())

    def _is_news(self, number: int) -> bool:
        transfer = self.transfers[number]
        return (
            transfer.ended or transfer.done == transfer.total or (len(self.transfers) > 1 and number not in self._tasks)
        )

    def _show_one(self, place: int, transfer: _Transfer) -> None:
        task = self._tasks.get(place)
        if transfer.ended or not transfer.begun:
            if task is not None:
                self._progress.remove_task(self._tasks.pop(place))
            return
        if task is None:
            task = self._tasks[place] = self._progress.add_task(transfer.name, total=None, told="")
        self._progress.update(task, completed=transfer.done, total=transfer.total, told=self.each(place))

    def stop(self) -> None:
        """Takes the bars away."""
        with self._lock:
            if self._progress is not None:
                self._progress.stop()


def _rich_progress(colored: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    console = Console(stderr=True, color_system="auto" if colored else None, markup=False, emoji=False)
    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", min_width=8)
    )
    far = TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (name, far) if console.width < NARROW else (name, BarColumn(bar_width=max(8, console.width // 5)), far)
    # redirect_stdout off: what goes to stdout is data, and no bar's business.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
