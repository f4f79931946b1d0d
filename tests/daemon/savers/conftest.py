"""Fixtures: a FileSaver and its folder."""

from pathlib import Path

import pytest

from opstore_daemon.savers import FileSaver
from tests.support.places import is_sampled

CONFORMANCE_OF_OBJECTS = "tests/daemon/savers/test_object_saver_conformance.py::"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of the saver, which does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def saver(root: Path) -> FileSaver:
    return FileSaver(root)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have `make test` run a sample of the conformance tests with an object store: all run with files and in memory."""
    if item.nodeid.startswith(CONFORMANCE_OF_OBJECTS) and not is_sampled(item.nodeid, 10):
        item.add_marker(pytest.mark.slow)
