"""The standard streams: safe to write to whoever started us, and whatever becomes of them."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors


class StandardOutput(io.TextIOWrapper):
    """stdout whose failures are errors of ours, whoever writes to it, click's help included."""

    def write(self, text: str, /) -> int:
        with translated_errors():
            return super().write(text)

    def flush(self) -> None:
        with translated_errors():
            super().flush()


@contextmanager
def translated_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # its reader had enough: that has an exit code of its own
    except OSError as error:
        raise errors.OutputFailed(path="standard output", reason=error.strerror or str(error)) from None


def prepare() -> None:
    """To be called first of all."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by the caller (`<&-`): the next file or socket would get its number, and what is printed.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    given = sys.stdout
    if isinstance(given, io.TextIOWrapper):
        # backslashreplace: a letter that a terminal's encoding lacks is no reason to fail.
        encoding, line_buffering = given.encoding, given.line_buffering
        sys.stdout = StandardOutput(
            given.detach(), encoding=encoding, errors="backslashreplace", line_buffering=line_buffering
        )


def flush_at_exit() -> None:
    """To be called last of all. Python flushes once more as it ends, and exits 120 where that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, errors.OutputFailed):
            # What could not be written was reported: nothing is left to be said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
