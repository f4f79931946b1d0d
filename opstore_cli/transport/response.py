"""A successful response of the daemon."""

import re
from collections.abc import Callable, Iterator

from opstore_cli.transport.interface import Response
from opstore_daemon.protocol.limits import READ_SIZE

_BLANKS = 1024  # bytes of one read: it waits until it has all of them
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')


class ApiResponse:
    """A successful response, whose body the caller reads."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status
        self.size = 0  # bytes of the body that `read` returned
        self._begin = b""  # of the body, if it is read already

    @property
    def content_type(self) -> str:
        """The media type, in lower case and without parameters."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        """Return the value of a header, or an empty string."""
        return str(self._response.headers.get(name, ""))

    @property
    def etag(self) -> str | None:
        """The entity tag, if it is one that a request may repeat (RFC 9110, section 8.8.3)."""
        etag = self.header("ETag")
        return etag if _ETAG.fullmatch(etag) else None

    def close(self) -> None:
        """Discard the rest of the body."""
        self._response.close()

    def read(self, limit: int) -> bytes:
        """Return the whole body. Raises ValueError if it has more than `limit` bytes, and ConnectionLost."""
        pieces, left = [self._begin], limit + 1 - len(self._begin)
        while left and (piece := self._response.read(left)):
            pieces.append(piece)
            left -= len(piece)
            self.size += len(piece)
        if not left:
            raise ValueError("the response is too long")
        return b"".join(pieces)

    def skip_blanks(self, notify: Callable[[int], object]) -> None:
        """Skip the blanks at the beginning of the body; call `notify` with the number of line breaks so far.

        Raises ConnectionLost.
        """
        lines = 0
        while piece := self._response.read(_BLANKS):
            self._begin = piece.lstrip(b" \n")
            lines += piece[: len(piece) - len(self._begin)].count(b"\n")
            notify(lines)
            if self._begin:
                break

    def pieces(self, buffers: Iterator[memoryview] | None = None) -> Iterator[bytes | memoryview]:
        """Yield the body as it arrives, in pieces of up to READ_SIZE bytes. Raises ConnectionLost if it ends early.

        `buffers`: if the response has `readinto`, each piece is read into the next of them, and the filled part of it
        is yielded.
        """
        into = getattr(self._response, "readinto", None)
        if buffers is None or into is None:
            while piece := self._response.read(READ_SIZE):
                yield piece
        else:
            while count := into(buffer := next(buffers)):
                yield buffer[:count]
