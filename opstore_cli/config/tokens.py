"""Read tokens from files, and check their form."""

from pathlib import Path

from opstore_cli.files.bounded_read import Unreadable, read_bytes
from opstore_cli.files.text import NotText, decode
from opstore_daemon.protocol import errors

MAX_FILE = 1024 * 1024  # bytes of a settings or token file


def read_token(path: Path, setting: str) -> str:
    """Return the token in a file or a pipe, without surrounding whitespace. Raises InvalidSetting.

    `setting` names the source of the path in the error.
    """
    named = f"{setting} ({path})"
    with errors.translated(OSError, Unreadable, to=errors.InvalidSetting, setting=named):
        data = read_bytes(path, MAX_FILE)
    return parse_token(data, named)


def parse_token(data: bytes, setting: str) -> str:
    """Return the token in the bytes of a file, without surrounding whitespace. Raises InvalidSetting."""
    try:
        text = decode(data).strip()
    except NotText:
        text = "\ufffd"  # its reason may name a byte of the token
    if not text.isascii():
        raise errors.InvalidSetting(setting=setting, reason="a token is ASCII text")
    return check_token(text, setting)


def check_token(text: str, setting: str) -> str:
    """Return the text if it can be a token. Raises InvalidSetting, whose message does not contain the text."""
    # The token becomes the value of a header: a line break would start another one.
    if not text or len(text) > 4096 or not text.isascii() or not text.isprintable() or " " in text:
        raise errors.InvalidSetting(setting=setting, reason="a token is one word of printable ASCII characters")
    return text
