"""The body of a response that consists of stored bytes."""

from collections.abc import Iterable

from flask import request

from opstore_daemon.store.blob_reader import BlobReader

MAX_BUFFERED = 64 * 1024  # bytes of a response that may wait in memory for a slow client


def blob_body(reader: BlobReader) -> Iterable[bytes]:
    """Return the body that sends the bytes of the reader; the response closes it."""
    wrapper = request.environ.get("opstore.file_wrapper")
    # A few bytes are sent together with the head. More are sent by the server's loop through its file wrapper, so that
    # no thread waits for a slow client.
    if wrapper is None or reader.stop - reader.start <= MAX_BUFFERED:
        return reader
    wrapped: Iterable[bytes] = wrapper(reader)
    return wrapped
