"""Fixtures: databases in files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_daemon.metadata import Database


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    """Return a database in a file, without a schema."""
    database = Database(f"sqlite:///{tmp_path / 'opstore.db'}")
    yield database
    database.close()


@pytest.fixture
def database(empty: Database) -> Database:
    """Return a database in a file, with today's schema."""
    empty.create_all()
    return empty
