"""The progress bar of a transfer."""

from time import monotonic
from typing import Any

PATIENCE = 0.5  # seconds that bytes have been moving before there is a bar


class Bar:
    """A bar on stderr that waits half a second before it shows up."""

    def __init__(self, what: str, *, colored: bool) -> None:
        self.what, self.colored = what, colored
        self.began: float | None = None
        self.bar: Any = None
        self.task: Any = None

    def update(self, done: int, total: int | None) -> None:
        if self.bar is None:
            self.began = self.began or monotonic()
            if monotonic() - self.began < PATIENCE:
                return
            self._show(total)
        self.bar.update(self.task, completed=done, total=total)

    def _show(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        console = Console(stderr=True, color_system="auto" if self.colored else None, markup=False, emoji=False)
        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(),
            DownloadColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
        )
        # redirect_stdout off: what goes to stdout is data, and no bar's business.
        self.bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self.task = self.bar.add_task(self.what, total=total)
        self.bar.start()

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
