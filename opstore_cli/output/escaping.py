"""Escape control characters, so that no text of a user acts on a terminal."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # of category Cf, but Persian words and family emoji are made with them
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_controls(text: object) -> str:
    """The text with every control character, format character and stray byte written as an escape.

    That is C0 and C1 controls, bidi overrides and other invisible characters, line separators, and the surrogates
    that stand for bytes of a file name that are not UTF-8. A backslash stays as it is.
    """
    words = str(text)
    if words.isascii() and words.isprintable():
        return words
    return "".join(_escaped(char) if unicodedata.category(char) in _HIDDEN else char for char in words)


def _escaped(char: str) -> str:
    if char in _JOINERS:
        return char
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's stand-in for the byte
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def in_json(text: str) -> str:
    """The text as JSON can hold it: a stray byte of a file name becomes an escape."""
    return text.encode("utf-8", "backslashreplace").decode()
