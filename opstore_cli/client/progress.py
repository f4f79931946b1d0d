"""How a client shows the progress of its transfers: in a notebook, on a terminal, in lines, or by a callback."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from opstore_cli.output.escaping import escape_controls
from opstore_cli.output.notebook import NotebookProgress, is_notebook
from opstore_cli.output.progress import NullDisplay, Parts, Screen, escape_parts, new_display
from opstore_cli.output.terminal import is_colored, is_terminal
from opstore_cli.transfer.progress import Display, Progress

# A callback, or whether progress is shown; None: if a person is watching.
ProgressOption = Progress | bool | None

_screens: dict[int, Screen] = {}  # that of this process, by its id: a forked one can't use that of its parent


class _Shown(Display, Protocol):
    def stop(self) -> None: ...


@contextmanager
def show_progress(option: ProgressOption, title: str, parts: Parts | None = None) -> Iterator[Display]:
    """Show the progress of transfers until the block ends: of one, or of several `parts`.

    A part is a name and the total bytes, None if unknown.
    """
    display = _new_display(option, escape_controls(title), escape_parts(parts))
    try:
        yield display
    finally:
        display.stop()


def is_shown(option: ProgressOption) -> bool:
    """Return whether the option shows something to a person."""
    return option is True or (option is None and _is_watched())


def _new_display(option: ProgressOption, title: str, parts: Parts) -> _Shown:
    if callable(option):
        return _Callback(option, parts)
    if not is_shown(option):
        return NullDisplay()
    if is_notebook():
        return NotebookProgress(title, parts)
    return new_display(title, parts, _write, colored=is_colored(), screen=_screen())


def _is_watched() -> bool:
    """Return whether a person works with this process: in a notebook, or at the prompt of a Python on a terminal."""
    if multiprocessing.parent_process() is not None:
        return False  # a worker: several of them would draw over each other
    is_interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    return is_notebook() or (is_interactive and is_terminal(sys.stderr))


def _screen() -> Screen:
    return _screens.setdefault(os.getpid(), Screen(colored=is_colored()))


def _write(line: str) -> None:
    with suppress(OSError, ValueError):  # a transfer does not fail because stderr is full or closed
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - asked for with progress=True


class _Callback(NullDisplay):
    """Reports the progress of all parts as that of one transfer."""

    def __init__(self, progress: Progress, parts: Parts) -> None:
        self._progress = progress
        self._total = None if len(parts) == 1 else sum(size or 0 for _, size in parts)
        self._done: dict[int, int] = {}

    def moved(self, number: int, done: int, total: int | None) -> None:
        self._done[number] = done
        self._progress(sum(self._done.values()), total if self._total is None else self._total)
