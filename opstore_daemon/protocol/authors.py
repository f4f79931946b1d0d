"""The author of a change: a person or a machine, as the client names it. It is a statement, not a proof.

In a header, an author in ASCII is written as it is, and any other one as a Display String (RFC 9651, section 3.3.8):
`%"Zo%c3%ab <zoe@example.org>"`.
"""

import re
from urllib.parse import unquote_to_bytes

MAX_AUTHOR = 200
RULE = f"it must be 1 to {MAX_AUTHOR} printable characters, without a space at its beginning or end"

_START = '%"'  # of a Display String
_DISPLAY_STRING = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"')


def is_author(text: str) -> bool:
    """Return whether the text can name an author: RULE."""
    return 1 <= len(text) <= MAX_AUTHOR and text.isprintable() and text == text.strip()


def to_header(author: str) -> str:
    """Return the value of the header for an author."""
    if author.isascii() and not author.startswith(_START):
        return author
    plain = (chr(byte) if 0x20 <= byte < 0x7F and byte not in b'%"' else f"%{byte:02x}" for byte in author.encode())
    return f'{_START}{"".join(plain)}"'


def from_header(value: str) -> str | None:
    """Return the author in the value of a header; None if it has none that follows RULE."""
    author = value
    if value.startswith(_START):
        match = _DISPLAY_STRING.fullmatch(value)
        try:
            author = unquote_to_bytes(match[1]).decode() if match is not None else ""
        except UnicodeDecodeError:
            return None
    elif not value.isascii():
        return None
    return author if is_author(author) else None
