"""The settings files: `opstore.toml`, `pyproject.toml`, and the user's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opstore_cli.config.urls import check_url
from opstore_cli.files import text
from opstore_daemon.protocol import errors

LOCK = "opstore.lock"
TREE_KEYS = ("url", "pipeline")
USER_KEYS = ("url", "author", "allow_pickle", "cache_size")
SWITCHES = ("allow_pickle",)  # keys whose values are true or false; those of the others are strings


def read_working_tree(cwd: Path, warn: Callable[[str], object]) -> tuple[dict[str, Any], Path | None]:
    """Return the nearest settings from `cwd` upwards, and their file; ({}, None) if there are none.

    The search ends at the root of the repository. `warn` is called with a line for each pyproject.toml that can't be
    read: it is a file of other programs. Raises InvalidSetting, which names the file.
    """
    for folder in _folders(cwd):
        own, project = folder / "opstore.toml", folder / "pyproject.toml"
        if os.path.lexists(own):
            return read_table(own, TREE_KEYS), own
        table = project_table(project, warn)
        if table is not None:
            return check_table(project, table, TREE_KEYS), project
    return {}, None


def _folders(cwd: Path) -> Iterator[Path]:
    """Yield the folders from `cwd` upwards, up to the root of the repository."""
    for folder in (cwd, *cwd.parents):
        yield folder
        if os.path.lexists(folder / ".git"):
            break


def find_lock(cwd: Path) -> Path | None:
    """Return the nearest opstore.lock from `cwd` upwards, as far as `read_working_tree` searches; None without one."""
    found = (folder / LOCK for folder in _folders(cwd))
    return next((path for path in found if os.path.isfile(path)), None)


def project_table(project: Path, warn: Callable[[str], object]) -> Any:
    """Return `tool.opstore` of a pyproject.toml; None without one, and if the file can't be read, after a warning."""
    if not os.path.isfile(project):
        return None
    try:
        tool = text.read_toml(project).get("tool", {})
    except (OSError, text.NotText) as error:
        warn(f"{project} can't be read, so its settings are not used: {errors.reason(error)}")
        return None
    return tool.get("opstore") if isinstance(tool, dict) else None


def read_table(path: Path, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings in a TOML file. Raises InvalidSetting, also for keys that are not `allowed`."""
    with errors.translated(OSError, text.NotText, to=errors.InvalidSetting, setting=str(path)):
        table = text.read_toml(path)
    return check_table(path, table, allowed)


def check_table(path: Path, table: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings in a table of the file, with the URL in its normal form. Raises InvalidSetting."""
    if not isinstance(table, dict):
        raise errors.InvalidSetting(setting=str(path), reason="tool.opstore must be a table")
    for key, value in table.items():
        if key not in allowed:
            raise errors.InvalidSetting(
                setting=str(path), reason=f"unknown key {key!r}; the keys are {' and '.join(allowed)}"
            )
        kind, word = (bool, "true or false") if key in SWITCHES else (str, "a string")
        if not isinstance(value, kind):
            raise errors.InvalidSetting(setting=str(path), reason=f"{key!r} must be {word}")
    if "url" in table:
        return {**table, "url": check_url(table["url"], str(path))}
    return dict(table)
