"""Read tokens from files, and check their form."""

from pathlib import Path

from opstore_daemon.protocol import errors

MAX_FILE = 1024 * 1024  # bytes of a settings or token file


def read_token(path: Path, setting: str) -> str:
    """Return the token in a file, without surrounding whitespace. Raises InvalidSetting.

    `setting` names the source of the path in the error.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("ascii").strip()
    except OSError as error:
        raise errors.InvalidSetting(setting=f"{setting} ({path})", reason=errors.reason(error)) from None
    except UnicodeDecodeError:
        raise errors.InvalidSetting(setting=f"{setting} ({path})", reason="a token is ASCII text") from None
    return check_token(text, f"{setting} ({path})")


def check_token(text: str, setting: str) -> str:
    """Return the text if it can be a token. Raises InvalidSetting, whose message does not contain the text."""
    # The token becomes the value of a header: a line break would start another one.
    if not text or len(text) > 4096 or not text.isascii() or not text.isprintable() or " " in text:
        raise errors.InvalidSetting(setting=setting, reason="a token is one word of printable ASCII characters")
    return text
