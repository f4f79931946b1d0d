"""Escape text of users, so that it can't control a terminal and JSON can represent it."""

from opstore_daemon.system.invisible import escape, is_invisible

_JOINERS = "\u200c\u200d"  # of category Cf, but part of Persian plain and of family emoji
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_controls(text: object) -> str:
    """Return the text with every control character, format character and stray byte written as an escape.

    These are C0 and C1 controls, bidi overrides and other invisible characters, line separators, and the surrogates
    that represent the bytes of a file name that is not UTF-8. A backslash is not escaped.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(_escape(char) if is_invisible(char) else char for char in plain)


def _escape(char: str) -> str:
    if char in _JOINERS:
        return char
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as os.fsdecode represents it
        return f"\\x{code - 0xDC00:02x}"
    return escape(char)


def escape_in_json(document: str) -> str:
    r"""Return the JSON document with hidden characters as `\u` escapes, which means the same to a program."""
    if document.isascii() and "\x7f" not in document:
        return document
    return "".join(_escape_in_json(char) if is_invisible(char) else char for char in document)


def _escape_in_json(char: str) -> str:
    if char == "\n" or char in _JOINERS:
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
