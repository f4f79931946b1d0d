"""Tokens: read and checked."""

from pathlib import Path

from opstore_daemon.protocol import errors

MAX_FILE = 1024 * 1024  # bytes of a settings or token file


def read_token(path: Path, setting: str) -> str:
    """The token in the file, without blanks around it; raises InvalidSetting."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("ascii").strip()
    except OSError as error:
        raise errors.InvalidSetting(setting=f"{setting} ({path})", reason=errors.reason(error)) from None
    except UnicodeDecodeError:
        raise errors.InvalidSetting(setting=f"{setting} ({path})", reason="a token is ASCII text") from None
    return check_token(text, f"{setting} ({path})")


def check_token(text: str, setting: str) -> str:
    """The text, if it can be a token; raises InvalidSetting, which does not show it."""
    # It becomes a header: a line break in it would become a second one.
    if not text or len(text) > 4096 or not text.isascii() or not text.isprintable() or " " in text:
        raise errors.InvalidSetting(setting=setting, reason="a token is one word of printable ASCII characters")
    return text
