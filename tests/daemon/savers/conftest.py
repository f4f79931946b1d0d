"""Fixtures: a FileSaver and its folder."""

from pathlib import Path

import pytest

from opstore_daemon.savers import FileSaver
from tests.support.places import is_sampled

CONFORMANCE_OF_OBJECTS = "tests/daemon/savers/test_object_saver_conformance.py::"
ALWAYS = {
    "test_bytes_come_back",
    "test_a_closed_draft_is_reopened_at_its_offset",
    "test_publishing_the_right_bytes_repairs_a_damaged_blob",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of the saver, which does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def saver(root: Path) -> FileSaver:
    return FileSaver(root)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have `make test` run a sample of the conformance tests with an object store: all run with files and in memory."""
    is_taken = item.name in ALWAYS or is_sampled(item.nodeid, 10)
    if item.nodeid.startswith(CONFORMANCE_OF_OBJECTS) and not is_taken:
        item.add_marker(pytest.mark.slow)
