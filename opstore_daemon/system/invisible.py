"""Show characters that nobody sees as escapes: controls, bidi overrides, line separators and lone surrogates."""

import unicodedata

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # of Unicode


def is_invisible(char: str) -> bool:
    """Return whether the character is of a category that shows nothing, or that changes how others are shown."""
    return unicodedata.category(char) in _CATEGORIES


def escape(char: str) -> str:
    r"""Return the character as an escape, such as `\x1b` or `\u202e`."""
    code = ord(char)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
