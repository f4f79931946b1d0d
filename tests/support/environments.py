"""Environments of their own for programs that the project does not depend on."""

import os
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support.markdown import ROOT

INSTALL_WITHIN = 280  # seconds


def environment_with(name: str, *packages: str) -> Path:
    """Return a Python that has the packages and this opstore; installing them takes about half a minute.

    Skips the test if they are not installed, unless OPSTORE_TEST_ALL is set.
    """
    folder = ROOT / "build" / name
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        if "OPSTORE_TEST_ALL" not in os.environ:
            pytest.skip(f"{packages[0]} is not installed: OPSTORE_TEST_ALL=1 has this install it")
        venv.create(folder, with_pip=True, clear=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        options: list[str | Path] = ["--editable", ROOT, "--constraint", ROOT / "constraints.txt"]
        subprocess.run([*pip, *packages, *options], check=True, timeout=INSTALL_WITHIN)
        (folder / "done").touch()
    return python
