"""A body of unknown length: chunks (RFC 9112, section 7.1), read with constant work for each byte."""

import re
from io import BytesIO
from typing import Any

from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.protocol import errors, limits

# Extensions and trailers are skipped. Of an extension only the characters are checked: this pattern can't backtrack.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?")


class ChunkedBody:
    """The receiver of a chunked body, in the form of waitress' own.

    Waitress' receiver copies the rest of what has arrived at each chunk, and so takes quadratic time for small chunks.
    This one appends the content of all chunks that have arrived at once to the buffer.
    """

    completed = False
    error: Refusal | None = None

    def __init__(self, buffer: Any) -> None:
        self.buf = buffer
        self.remain = 0  # bytes until the end of the current chunk
        self._rest_of_end = b""  # of the line feed after a chunk
        self._line = bytearray()  # the beginning of a line
        self._skipped = 0  # bytes of the trailer
        self._in_trailer = False

    def received(self, data: bytes) -> int:
        """Consume received data; return how much of it belongs to the body."""
        content: list[bytes] = []
        position = 0
        while position < len(data) and not self.completed and self.error is None:
            if self.remain:
                content.append(data[position : position + self.remain])
                position += len(content[-1])
                self.remain -= len(content[-1])
                self._rest_of_end = b"\r\n"
            elif self._rest_of_end:
                position = self._skip_end(data, position)
            else:
                position = self._read_line(data, position)
        if content and self.error is None:
            self.buf.append(b"".join(content))
        return position

    def _skip_end(self, data: bytes, position: int) -> int:
        found = data[position : position + len(self._rest_of_end)]
        if not self._rest_of_end.startswith(found):
            self._refuse(errors.InvalidRequest(reason="a chunk is longer than its size"))
        self._rest_of_end = self._rest_of_end[len(found) :]
        return position + len(found)

    def _read_line(self, data: bytes, position: int) -> int:
        if self._line.endswith(b"\r") and data.startswith(b"\n", position):
            del self._line[-1:]
            end, is_complete = position + 1, True
        else:
            found = data.find(b"\r\n", position)
            is_complete = found >= 0
            self._line += data[position : found if is_complete else len(data)]
            end = found + 2 if is_complete else len(data)
        if self._skipped + len(self._line) > limits.MAX_HEADERS:
            self._refuse(errors.HeadersTooLarge(limit=limits.MAX_HEADERS))
        elif is_complete:
            self._end_line()
        return end

    def _end_line(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        if self._in_trailer:
            self._skipped += len(line) + 2
            self.completed = not line
        else:
            self._begin_chunk(line)

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            self._refuse(errors.InvalidRequest(reason="a chunk has no valid size"))
            return
        self.remain = int(match[1], 16)
        self._in_trailer = not self.remain

    def _refuse(self, error: errors.OpStoreError) -> None:
        self.error = Refusal(error)

    def __len__(self) -> int:
        return len(self.buf)

    def getfile(self) -> BytesIO:
        """Return the body for the application."""
        file: BytesIO = self.buf.getfile()
        return file

    def getbuf(self) -> Any:
        """Return the buffer."""
        return self.buf
