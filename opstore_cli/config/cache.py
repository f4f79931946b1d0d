"""The settings of the cache of `client.path` and `client.load`: its folder and its size."""

import re
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from opstore_daemon.protocol import errors

SIZE = 20_000_000_000  # bytes, unless the user chooses another bound
_SIZE = re.compile(r"([0-9]{1,15}) ?(?:(|k|m|g|t)(i?)b?)", re.ASCII | re.IGNORECASE)
_UNITS = ("", "k", "m", "g", "t")


def cache_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the absolute path of the folder: OPSTORE_CACHE, or platformdirs' user cache. Raises InvalidSetting."""
    folder = environ.get("OPSTORE_CACHE")
    if not folder:
        return platformdirs.user_cache_path("opstore", appauthor=False)
    with errors.translated(RuntimeError, to=errors.InvalidSetting, setting="OPSTORE_CACHE"):  # ~ of an unknown user
        return cwd / Path(folder).expanduser()


def cache_size(environ: Mapping[str, str], user: Mapping[str, str]) -> int:
    """Return the bound in bytes: OPSTORE_CACHE_SIZE, `cache_size` of the user's own file, or 20 GB.

    Raises InvalidSetting.
    """
    for setting, text in (
        ("OPSTORE_CACHE_SIZE", environ.get("OPSTORE_CACHE_SIZE")),
        ("cache_size", user.get("cache_size")),
    ):
        if text:
            return parse_size(text, setting)
    return SIZE


def parse_size(text: str, setting: str) -> int:
    """Return the bytes of `20GB`, `500 MB`, `4GiB` or `0`. Raises InvalidSetting."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise errors.InvalidSetting(
            setting=setting, reason=f"{text[:60]!r} is not a size such as 20GB, 500MB, 4GiB or 0"
        )
    base = 1024 if match[3] else 1000
    return int(match[1]) * int(base ** _UNITS.index(match[2].lower()))
