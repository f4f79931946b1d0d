"""Fixtures: a client of a daemon that listens, and a machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.listening import client
from tests.support.machines import Machine, a_machine

__all__ = ["client", "machine"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine without a running daemon."""
    with a_machine(tmp_path / "machine") as made:
        yield made
