"""Folders of tests of which `make test` runs a share: each has many tests of one thing that changes rarely."""

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
    "tests/e2e/client/": 2,
    "tests/e2e/importers/": 2,
    "tests/e2e/validity/": 2,
}
"""Of how many tests it runs one."""


def mark_slow(item: pytest.Item) -> None:
    """Mark a test of one of these folders as slow, unless it is in the share."""
    for folder, share in SHARES.items():
        if item.nodeid.startswith(folder) and not is_sampled(item.nodeid, share):
            item.add_marker(pytest.mark.slow)
