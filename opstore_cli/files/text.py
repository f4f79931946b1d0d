"""Text files that people write: UTF-8, with or without a byte order mark, and with any line ends."""

from pathlib import Path
from typing import Any

from opstore_cli.files.bounded_read import Unreadable, read_bytes

MAX_TEXT = 1024 * 1024  # bytes
MAX_DOTS = 100  # of a key: tomllib's time is quadratic in them

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class NotText(ValueError):
    """The bytes are not the text that is expected; the message is the reason."""


def read_text(path: Path, *, pipes: bool = False) -> str:
    """Return the text of a regular file or, if `pipes`, of a pipe to its end.

    Raises NotText, also for another kind of file and for more than MAX_TEXT bytes, and OSError.
    """
    try:
        return decode(read_bytes(path, MAX_TEXT, pipes=pipes))
    except Unreadable as error:
        raise NotText(str(error)) from None


def decode(data: bytes) -> str:
    """Return UTF-8 as text, without a byte order mark. Raises NotText, which names the line and column."""
    if data.startswith(_UTF_16) or b"\0" in data[:4]:
        raise NotText("it is UTF-16 or UTF-32 text; save it as UTF-8")
    data = data.removeprefix(_BOM)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        byte = data[error.start]
        raise NotText(f"it is not UTF-8: byte 0x{byte:02x} (at line {line}, column {column})") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file. Raises NotText, which names the line and column, and OSError."""
    return parse_toml(read_text(path))


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML document. Raises NotText, which names the line and column."""
    import tomllib

    if text.count(".") > MAX_DOTS:
        from opstore_cli.files import toml_limits

        if place := toml_limits.place_of_long_key(text, MAX_DOTS):
            raise NotText(f"a key has more than {MAX_DOTS} dots (at {place})")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise NotText("it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise NotText(str(error)[:300]) from None
    except ValueError:  # of int(), whose words are about a setting of Python
        from opstore_cli.files import toml_limits

        place = toml_limits.place_of_long_number(text)
        raise NotText("a number has too many digits" + (f" (at {place})" if place else "")) from None
