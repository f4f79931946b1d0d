"""Fixtures: a FileSaver and its folder."""

from pathlib import Path

import pytest

from opstore_daemon.savers import FileSaver


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of the saver, which does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def saver(root: Path) -> FileSaver:
    return FileSaver(root)
