"""Text files that people write: UTF-8, with or without a byte order mark, and with any line ends."""

import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from opstore_cli.files.bounded_read import Unreadable, read_bytes
from opstore_daemon.system.files import NONBLOCK

MAX_TEXT = 1024 * 1024  # bytes

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class NotText(ValueError):
    """The bytes are not the text that is expected; the message is the reason."""


def read_text(path: Path) -> str:
    """Return the text of a regular file. Raises NotText, also for another kind of file or more bytes, and OSError."""
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotText("it is not a regular file")
        return decode(_bounded(file))


def read_any_text(path: Path) -> str:
    """Return the text of a file or pipe that the user named. Raises NotText, also for more bytes, and OSError."""
    try:
        return decode(read_bytes(path, MAX_TEXT))
    except Unreadable as error:
        raise NotText(str(error)) from None


def _bounded(file: BinaryIO) -> bytes:
    data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise NotText(f"it has more than {MAX_TEXT // 1024} KiB")
    return data


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

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise NotText("it is nested too deeply") from None
    except ValueError as error:
        raise NotText(str(error)[:300]) from None
