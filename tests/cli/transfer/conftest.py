"""Fixtures of the tests of transfers."""

import pytest


@pytest.fixture(autouse=True)
def _no_waits(no_waits: None) -> None:
    """Retry without waiting in every test."""
