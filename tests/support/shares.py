"""Folders and files of tests of which `make test` runs a share.

Each has many tests of one thing that changes rarely, or that others test too: the conformance tests of savers all run
with files and in memory.
"""

import pytest

from tests.support.places import is_sampled

SHARES = {
    "tests/cli/exchange/": 3,
    "tests/cli/fsspec/": 3,
    "tests/cli/importers/": 3,
    "tests/cli/objects/": 3,
    "tests/cli/sklearn/": 3,
    "tests/daemon/migration/": 2,
    "tests/daemon/page/": 3,
    "tests/daemon/savers/test_object_saver_conformance.py::": 10,
    "tests/e2e/client/": 2,
    "tests/e2e/importers/": 2,
    "tests/e2e/validity/": 2,
}
"""By the beginning of the names of the tests: `make test` runs one of so many."""

ALWAYS = {
    "test_bytes_come_back",
    "test_a_closed_draft_is_reopened_at_its_offset",
    "test_publishing_the_right_bytes_repairs_a_damaged_blob",
}
"""Tests that it always runs."""


def mark_slow(item: pytest.Item) -> None:
    """Mark a test as slow if it is one of these and not in the share."""
    for beginning, share in SHARES.items():
        if item.nodeid.startswith(beginning) and not (item.name in ALWAYS or is_sampled(item.nodeid, share)):
            item.add_marker(pytest.mark.slow)
