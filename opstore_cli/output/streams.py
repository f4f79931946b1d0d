"""The standard streams: the caller may have closed them, and writing to them may fail."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opstore_daemon.protocol import errors


class StandardOutput(io.TextIOWrapper):
    """A stdout that raises OutputFailed for every failed write, including those of click."""

    def write(self, text: str, /) -> int:
        with translated_errors():
            return super().write(text)

    def flush(self) -> None:
        with translated_errors():
            super().flush()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate OSError to OutputFailed, except BrokenPipeError, which has its own exit code."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise errors.OutputFailed(path="standard output", reason=errors.reason(error)) from None


def prepare() -> None:
    """Reopen closed standard streams on /dev/null, and make stdout raise OutputFailed. Call it first in a process."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by the caller (`<&-`): the next file or socket would get its descriptor, and with it the output.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        # backslashreplace: a character that the encoding of a terminal lacks must not fail the command.
        encoding, line_buffering = stdout.encoding, stdout.line_buffering
        binary: Any = stdout.detach()
        if isinstance(binary, io.RawIOBase):  # PYTHONUNBUFFERED: what a failed or partial write leaves would be lost
            binary = io.BufferedWriter(binary)
        sys.stdout = StandardOutput(binary, encoding=encoding, errors="backslashreplace", line_buffering=line_buffering)


def flush_at_exit() -> None:
    """Flush the standard streams. Call it last: Python flushes again at exit, and exits with 120 if that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, errors.OutputFailed):
            # Reported already. What is still buffered goes to /dev/null.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
