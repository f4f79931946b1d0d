"""Show bytes of paths, arguments and variables that are not UTF-8 as `\\xff`, in every message and in JSON.

Python represents such a byte as a lone surrogate (PEP 383), which `repr` writes as `\\udcff`.
"""

import re

_BYTE = re.compile("[\udc80-\udcff]")
_BYTE_IN_REPR = re.compile(r"(?<!\\)((?:\\\\)*)\\udc([89a-f][0-9a-f])")  # not after a backslash, which repr doubles


def escape_stray_bytes(text: str) -> str:
    """Return the text as UTF-8 can represent it: a stray byte becomes an escape, and so does a lone surrogate."""
    if text.isascii():
        return text
    escaped = _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return escaped.encode("utf-8", "backslashreplace").decode()


def escape_in_message(text: str) -> str:
    """Return the message, of which some parts come from `repr`, with every stray byte as the same escape."""
    return _BYTE_IN_REPR.sub(r"\1\\x\2", escape_stray_bytes(text))
