"""A pager for output that is longer than the screen, chosen and started as Git does it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opstore_cli.output.width import measure

VARIABLES = ("OPSTORE_PAGER", "PAGER")
NONE = ("", "cat")
# less: end if it fits one screen, pass colours through, leave the text on the screen. lv: pass colours through.
ENVIRONMENT = {"LESS": "FRX", "LV": "-c"}


def show(text: str, width: int) -> bool:
    """Show the text in a pager if it is longer than the screen, and return whether it was shown.

    A pager that is closed early is no error: the exit code of the command stays what it is.
    """
    if _lines(text, width) < shutil.get_terminal_size().lines or not _can_page():
        return False
    command = _command()
    return command is not None and _page(command, text)


def _lines(text: str, width: int) -> int:
    return sum(max(-(-measure(line) // width), 1) for line in text.splitlines())


def _can_page() -> bool:
    """Return whether a person can use a pager: both ends are the terminal, which understands escape sequences."""
    try:
        is_ours = sys.stdin.isatty() and os.isatty(sys.stdout.fileno())
    except (AttributeError, ValueError, OSError):
        return False
    return is_ours and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _command() -> str | None:
    """Return the command of the pager, for the shell; None if there is none, or the user wants none."""
    for variable in VARIABLES:
        if variable in os.environ:
            command = os.environ[variable].strip()
            return None if command in NONE else command
    return "less" if shutil.which("less") else None


def _page(command: str, text: str) -> bool:
    sys.stdout.flush()
    environment = {**ENVIRONMENT, **os.environ}
    try:
        # A shell, as PAGER may have options.
        process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=environment)  # noqa: S602
    except OSError:
        return False
    with _ignoring_interrupts(), process:
        with suppress(BrokenPipeError, OSError):
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            process.stdin.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
            process.stdin.close()
        code = process.wait()
    return code not in NOT_FOUND


NOT_FOUND = (126, 127)  # how a shell reports a command that it can't run


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Leave Ctrl-C to the pager: less stops a search with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
