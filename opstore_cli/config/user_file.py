"""Change the user's own settings file, `config.toml`, and keep everything else in it as it is."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opstore_cli.config.author import check_author
from opstore_cli.config.cache import parse_size
from opstore_cli.config.settings import user_folder
from opstore_cli.config.urls import check_url
from opstore_cli.config.working_tree import USER_KEYS, check_table
from opstore_cli.files import private
from opstore_cli.files.locks import LockedFile
from opstore_cli.files.text import NotText, parse_toml, read_text
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.home_trust import check_home


def user_file() -> Path:
    """Return the path of the user's own settings file."""
    return user_folder() / "config.toml"


def parse_value(key: str, text: str) -> str | bool:
    """Return the value that the text means for the key. Raises InvalidSetting."""
    if key == "url":
        return check_url(text, key)
    if key == "cache_size":
        parse_size(text, key)
        return " ".join(text.split())
    if key == "author":
        return check_author(text, key)
    if text not in ("true", "false"):
        raise errors.InvalidSetting(setting=key, reason="it must be true or false")
    return text == "true"


def change(key: str, value: str | bool | None) -> bool:
    """Set the key of USER_KEYS in the user's own file, or remove it (None); return whether the file changed.

    The other lines stay as they are, an invalid value of the key itself can be replaced or removed, and a symbolic link
    is followed: some people link the file to a folder of dotfiles. Raises InvalidSetting, for a file that can't be read
    or changed too, OutputFailed if the disk is full or fails, and UntrustedHome.
    """
    path = user_file()
    check_home(path.parent, setting="XDG_CONFIG_HOME")
    with (
        errors.translated_writes(str(path), to=errors.InvalidSetting, setting=str(path)),
        errors.translated(NotText, to=errors.InvalidSetting, setting=str(path)),
    ):
        private.make_folder(path.parent)
        with _locked(path):
            text = read_text(path) if path.exists() else ""
            others = {name: each for name, each in parse_toml(text).items() if name != key}
            wanted = check_table(path, others, USER_KEYS)
            if value is not None:
                wanted[key] = value
            if _parsed(path, text) == wanted:
                return False
            changed = _changed(text, key, value)
            if _parsed(path, changed) != wanted:
                reason = f"the line of {key} has a form that can't be changed: edit the file"
                raise errors.InvalidSetting(setting=str(path), reason=reason)
            private.replace_file(Path(os.path.realpath(path)), changed.encode())
    return True


def _changed(text: str, key: str, value: str | bool | None) -> str:
    """Return the text with the line of the key replaced, removed or added: the file has no tables."""
    end = "\r\n" if "\r\n" in text else "\n"
    line = "" if value is None else f"{key} = {_quoted(value)}{end}"
    own = re.compile(rf"^[ \t]*[\"']?{key}[\"']?[ \t]*=.*(?:\n|\Z)", re.MULTILINE)
    if own.search(text):
        return own.sub(lambda _: line, text, count=1)
    separator = "" if not text or text.endswith("\n") else end
    return text + separator + line


def _quoted(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    escaped = value.replace("\\", r"\\").replace('"', r"\"")  # TOML escapes no other printable character
    return f'"{escaped}"'


def _parsed(path: Path, text: str) -> dict[str, Any] | None:
    """Return the settings in the text, or None if one of them is invalid."""
    try:
        return check_table(path, parse_toml(text), USER_KEYS)
    except (NotText, errors.InvalidSetting):
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file, if the file system has locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(LockedFile.acquire(path.with_suffix(".lock")))
        yield
