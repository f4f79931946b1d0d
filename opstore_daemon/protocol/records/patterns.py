"""The patterns of what users write, and what each one admits in words, for errors."""

import re

NO_NUL = r"^[^\x00]*$"
# A bare `$` would let a line feed at the end pass.
LABEL_KEY = r"^[^\x00-\x1f\x7f=]*(?![\s\S])"
FORMAT = r"^[a-z0-9.+-]*(?![\s\S])"
FILENAME = r"^[^\x00-\x1f\x7f/\\]*(?![\s\S])"

IN_WORDS = {
    NO_NUL: "a text without null characters",
    LABEL_KEY: "a text without = and without control characters",
    FORMAT: "a text of a-z, 0-9, '.', '+' and '-'",
    FILENAME: "a file name without /, \\ and control characters",
}


def in_words(reason: str) -> str:
    """Return msgspec's message about an invalid value, with words in place of the pattern or the bound."""
    reason = reason.replace("`str` of length >= 1", "a text that is not empty")
    reason = re.sub(r"`str` of length <= (\d+)", r"a text of at most \1 characters", reason)
    reason = re.sub(r"`(?:object|array)` of length <= (\d+)", r"at most \1 entries", reason)
    for pattern, words in IN_WORDS.items():
        reason = reason.replace(f"`str` matching regex {pattern!r}", words)
    return reason
