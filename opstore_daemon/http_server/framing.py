"""Refuse ambiguous framing, which two HTTP parsers could read differently (RFC 9112, sections 3.2, 5.2, 6.1, 6.3)."""

import re
from collections import Counter

from opstore_daemon.protocol import errors

_ONCE = (b"content-length", b"transfer-encoding", b"host", b"authorization", b"content-type", b"upload-offset")


MAX_LINES = 100  # headers of a request; clients and proxies send a few dozen

# Waitress' patterns for the request line and for blanks around a value take quadratic time if they fail. A line that
# matches this one also matches waitress' without a search.
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+(?: HTTP/[0-9]\.[0-9])?[ \t]*")


def simplified(head: bytes) -> bytes:
    """Return the head without blanks around values, so that waitress parses it in linear time.

    Raises InvalidRequest, or AmbiguousFraming for a header that continues on the next line.
    """
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n", MAX_LINES + 1)
    if _REQUEST_LINE.fullmatch(request_line) is None:
        raise errors.InvalidRequest(reason="its first line is not a request line")
    if len(lines) > MAX_LINES:
        raise errors.InvalidRequest(reason=f"it has more than {MAX_LINES} headers")
    if any(line.startswith((b" ", b"\t")) for line in lines):
        raise errors.AmbiguousFraming(reason="a header continues on the next line")
    fields = (name + colon + value.strip(b" \t") for name, colon, value in (line.partition(b":") for line in lines))
    return b"\r\n".join((request_line, *fields)) + b"\r\n\r\n"


def check_framing(head: bytes, *, chunked: bool) -> None:
    """Raise AmbiguousFraming unless the headers in `head`, which is simplified, have a single meaning.

    `chunked`: whether waitress reads the body as chunked.
    """
    lines = head.split(b"\r\n")[1:]
    fields = [(name.lower(), value.strip(b" \t").lower()) for name, _, value in (x.partition(b":") for x in lines)]
    counts = Counter(name for name, _ in fields)
    for name in _ONCE:
        if counts[name] > 1:
            raise errors.AmbiguousFraming(reason=f"there is more than one {name.decode()} header")
    if counts[b"transfer-encoding"]:
        if counts[b"content-length"]:
            raise errors.AmbiguousFraming(reason="it has both a Content-Length and a Transfer-Encoding")
        # Waitress also reads "gzip, chunked", blanks around it, or a repeated chunked, as chunked.
        if not chunked or dict(fields)[b"transfer-encoding"] != b"chunked":
            raise errors.AmbiguousFraming(reason="the only Transfer-Encoding supported is chunked, in HTTP/1.1")
