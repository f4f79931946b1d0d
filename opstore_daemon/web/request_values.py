"""Read values of a request strictly: the content type of its body, and integers."""

import re
from collections.abc import Callable

from opstore_daemon.protocol import errors

GetHeader = Callable[[str], str | None]

MAX_INTEGER = 10**18 - 1
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


def check_content(header: GetHeader, *allowed: str) -> str:
    """Return the content type of the body; raises UnsupportedContent unless it is allowed and the body not encoded."""
    if header("Content-Encoding") is not None:
        raise errors.UnsupportedContent(reason="Content-Encoding is not supported")
    content_type = (header("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type not in allowed:
        types = " or ".join(allowed)
        raise errors.UnsupportedContent(reason=f"its type has to be {types}, not {content_type[:100] or 'missing'}")
    return content_type


def parse_run(text: str) -> int:
    """Return the position of a run, in ASCII digits; raises RunNotFound for anything else."""
    if _INTEGER.fullmatch(text) is None or text == "0":
        raise errors.RunNotFound(run=text[:50])
    return int(text)


def parse_count(text: str | None, name: str, lowest: int = 0, highest: int = MAX_INTEGER) -> int:
    """Return an integer in ASCII digits that is within the bounds; raises InvalidRequest with the name of the value."""
    if text is None or _INTEGER.fullmatch(text) is None or not lowest <= int(text) <= highest:
        reason = f"{name} has to be an integer from {lowest} to {highest}, not {str(text)[:50]!r}"
        raise errors.InvalidRequest(reason=reason)
    return int(text)
