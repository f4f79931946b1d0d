"""The environment of the program under test."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment without settings, with an empty home and without autostart."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSTORE_", "XDG_"))}
    home = {"OPSTORE_HOME": str(tmp_path / "home"), "OPSTORE_NO_AUTOSTART": "1", "HOME": str(tmp_path)}
    return {**kept, **home, "XDG_CONFIG_HOME": str(tmp_path)}
