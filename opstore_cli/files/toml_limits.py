"""Limit what tomllib does not: the dots of a key, for which its time is quadratic, and the digits of a number.

Both are found by a scan of the text in linear time, which sees strings, comments and keys where tomllib sees them.
"""

import re

MIN_DIGITS = 4301  # of a number that Python does not read, unless its limit was changed

# A string without an end takes the rest of the text: that is where tomllib stops.
_STRING = r""" "(?:[^"\\\n]|\\.)*+(?:"|.*+) | '[^'\n]*+(?:'|.*+) """
_PART = rf"(?:[A-Za-z0-9_-]++ | {_STRING})"
_TOKENS = re.compile(
    rf"""
    \"\"\" (?:[^"\\]|\\.|"{{1,2}}(?!"))*+ (?:"{{3,5}}|.*+)
    | ''' (?:[^']|'{{1,2}}(?!'))*+ (?:'{{3,5}}|.*+)
    | \#[^\n]*+
    | (?P<key> {_PART} (?:[ \t]*+\.[ \t]*+{_PART})*+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_STRINGS = re.compile(_STRING, re.VERBOSE | re.DOTALL)
_NUMBER = re.compile(rf"-?[0-9](?:_?[0-9]){{{MIN_DIGITS - 1},}}+")


def place_of_long_key(text: str, limit: int) -> str | None:
    """Return the line and column of a key with more than `limit` dots, or None."""
    for token in _TOKENS.finditer(text):
        key = token["key"]
        if key is not None and key.count(".") > limit and _STRINGS.sub("", key).count(".") > limit:
            return _place(text, token.start())
    return None


def place_of_long_number(text: str) -> str | None:
    """Return the line and column of a number with MIN_DIGITS digits or more, or None."""
    for token in _TOKENS.finditer(text):
        if token["key"] is not None and _NUMBER.fullmatch(token["key"]):
            return _place(text, token.start())
    return None


def _place(text: str, offset: int) -> str:
    before = text[:offset]
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    return f"line {line}, column {column}"
