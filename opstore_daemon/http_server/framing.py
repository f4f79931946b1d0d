"""Refuse ambiguous framing, which two HTTP parsers could read differently (RFC 9112, sections 3.2, 5.2, 6.1, 6.3)."""

from collections import Counter

from opstore_daemon.protocol import errors

_ONCE = (b"content-length", b"transfer-encoding", b"host", b"authorization", b"content-type", b"upload-offset")


def check_framing(head: bytes, *, chunked: bool) -> None:
    """Raise AmbiguousFraming unless the request line and headers in `head` have a single meaning.

    `chunked`: whether waitress reads the body as chunked.
    """
    lines = head.split(b"\r\n")[1:]
    if any(line.startswith((b" ", b"\t")) for line in lines):
        raise errors.AmbiguousFraming(reason="a header continues on the next line")
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
