"""Fit text into the columns of a terminal: measure, wrap and shorten it. A wide character takes two columns."""

import os
import shutil
from typing import Any

ELLIPSIS = "…"


def terminal_width(stream: Any) -> int:
    """Return the columns of the terminal that the stream is; COLUMNS overrides it, as in other programs."""
    if not os.environ.get("COLUMNS", "").isdigit():
        try:
            return os.get_terminal_size(stream.fileno()).columns or 80
        except (AttributeError, ValueError, OSError):
            pass
    return shutil.get_terminal_size().columns


def measure(text: str) -> int:
    """Return how many columns the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrap(text: str, width: int, *, first: int = 0) -> list[str]:
    """Return the text in lines of at most `width` columns, broken at blanks; a longer word has a line of its own.

    `first`: the columns of the first line that are taken already.
    """
    lines, used = [""], first
    for word in text.split(" "):
        size = measure(word)
        if used > first and used + 1 + size > width:
            lines.append("")
            used, first = 0, 0
        if used > first:
            lines[-1] += " "
            used += 1
        lines[-1] += word
        used += size
    return lines


def shorten(text: str, width: int, *, middle: bool = False) -> str:
    """Return the text in at most `width` columns, with an ellipsis at its end or, with `middle`, in its middle."""
    if measure(text) <= width:
        return text
    if width < 1:
        return ""
    tail = (width - 1) // 2 if middle else 0
    begin, end = _fitting(text, width - 1 - tail), _fitting(text[::-1], tail)[::-1]
    return begin + ELLIPSIS + end


def _fitting(text: str, width: int) -> str:
    """Return the longest beginning of the text that takes at most `width` columns."""
    if text.isascii():
        return text[: max(width, 0)]
    end = len(text)
    while end and measure(text[:end]) > width:
        # Each character takes at most two columns: take away at least half of what is too much.
        end -= max((measure(text[:end]) - width) // 2, 1)
    return text[:end]
