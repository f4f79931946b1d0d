"""What happens if a line of the log can't be written: the line is lost, and nothing else."""

import logging
from contextlib import suppress


def tolerate(handler: logging.Handler) -> None:
    """Have the handler drop a line that it can't write, and open its file again for the next one.

    By default, logging prints a traceback for each such line. A stream that failed keeps what it could not write, and a
    rotation that failed leaves a closed file, to which no later line would go.
    """

    def drop(_record: logging.LogRecord) -> None:
        if isinstance(handler, logging.FileHandler):
            stream, handler.stream = handler.stream, None
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.close()

    setattr(handler, "handleError", drop)  # noqa: B010 - mypy forbids to assign to a method
