"""Write to file objects that a caller passed, and report their failures as OutputFailed."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from opstore_daemon.protocol import errors


def write_all(output: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of the bytes. Raises OutputFailed, and BrokenPipeError unchanged."""
    view = memoryview(data)
    with _translated_errors(output):
        while view:
            written: int | None = output.write(view)
            if written is None and isinstance(output, io.RawIOBase):
                raise OSError(errno.EAGAIN, "it is in non-blocking mode, and its buffer is full")
            # Other file objects often return None after they have written everything.
            view = view[len(view) if written is None else written :]


def flush(output: BinaryIO) -> None:
    """Flush the file object. Raises OutputFailed, and BrokenPipeError unchanged."""
    with _translated_errors(output):
        output.flush()


@contextmanager
def _translated_errors(output: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        name = getattr(output, "name", None)  # an int if it was opened by descriptor
        path = {"<stdout>": "standard output"}.get(name, name) if isinstance(name, str) else "the output"
        raise errors.OutputFailed(path=path, reason=errors.reason(error)) from error
