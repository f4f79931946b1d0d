"""The settings files: `opstore.toml`, `pyproject.toml`, and the user's own."""

import os
from pathlib import Path
from typing import Any

from opstore_cli.config.tokens import MAX_FILE
from opstore_cli.config.urls import check_url
from opstore_daemon.protocol import errors

TREE_KEYS = ("url", "pipeline")
USER_KEYS = ("url", "allow_pickle")
SWITCHES = ("allow_pickle",)  # keys whose values are true or false; those of the others are strings


def read_working_tree(cwd: Path) -> tuple[dict[str, Any], Path | None]:
    """Return the nearest settings from `cwd` upwards, and their file; ({}, None) if there are none.

    The search ends at the root of the repository. Raises InvalidSetting, which names the file.
    """
    for folder in (cwd, *cwd.parents):
        own, project = folder / "opstore.toml", folder / "pyproject.toml"
        if os.path.isfile(own):
            return read_table(own, TREE_KEYS), own
        if os.path.isfile(project):
            tool = read_toml(project).get("tool", {})
            if isinstance(tool, dict) and "opstore" in tool:
                return _check_table(project, tool["opstore"], TREE_KEYS), project
        if os.path.lexists(folder / ".git"):
            break
    return {}, None


def read_table(path: Path, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings in a TOML file. Raises InvalidSetting, also for keys that are not `allowed`."""
    return _check_table(path, read_toml(path), allowed)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file. Raises InvalidSetting, which names the file."""
    import tomllib

    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(MAX_FILE).decode())
    except OSError as error:
        raise errors.InvalidSetting(setting=str(path), reason=errors.reason(error)) from None
    except (ValueError, RecursionError) as error:
        raise errors.InvalidSetting(setting=str(path), reason=str(error)[:300]) from None


def _check_table(path: Path, table: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
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
