"""Fit text into the columns of a terminal: measure, wrap and shorten it. A wide character takes two columns."""

import os
import re
import shutil
from collections.abc import Iterator
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


def wrap(text: str, width: int, *, first: int = 0, hang: int = 0, breaking: bool = False) -> list[str]:
    """Return the text in lines of at most `width` columns, broken at blanks, but not within a command to copy.

    `first`: the columns of the first line that are taken already. `hang`: the blanks before each further line.
    A longer word has a line of its own or, with `breaking`, is broken.
    """
    lines, used, margin = [""], first, first
    for word in _words(text, width if breaking else 0):
        size = measure(word)
        if used > margin and used + 1 + size > width:
            lines.append(" " * hang)
            used = margin = hang
        if used > margin:
            lines[-1] += " "
            used += 1
        lines[-1] += word
        used += size
    return lines


# Words before which a command in a message ends, as it does at punctuation: `opstore ops lists the ops`.
_PROSE = (
    "again|and|as|changes|compares|daemon|diagnoses|draws|ends|explains|for|frees|gives|in|is|lists|logs|may|moves|names"
    "|needs|of|on|opens|or|prints|records|registers|removes|replaces|resumes|retires|revokes|runs|says|sets|shows"
    "|starts|stops|stores|takes|that|there|to|until|upgrades|when|which|with|writes"
)
_WORD = rf"(?!(?:{_PROSE})\b)(?:'[^']*'|\"[^\"]*\"|[^\s,;()?]*[^\s,;:()?])"
_FIRST = rf"(?:runs(?= --)|{_WORD})"  # a command and a verb
_COMMAND = re.compile(rf"opstore (?:--url \S+ )?(?=[A-Za-z]){_FIRST}(?: {_WORD})*")


def _words(text: str, limit: int) -> Iterator[str]:
    """Yield the words of the text. A command is one word; with a `limit`, each word is at most so wide."""
    commands = {} if limit else {match.start(): match.end() for match in _COMMAND.finditer(text)}
    place = 0
    while place <= len(text):
        end = text.find(" ", commands.get(place, place))
        end = len(text) if end < 0 else end
        word = text[place:end]
        while limit and measure(word) > limit:
            part = _fitting(word, limit) or word[0]
            yield part
            word = word[len(part) :]
        yield word
        place = end + 1


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
