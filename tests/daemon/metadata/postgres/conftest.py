"""Fixtures: databases in the PostgreSQL server of the run."""

from collections.abc import Iterator

import pytest

from opstore_daemon.metadata import Database


@pytest.fixture
def empty(postgres_url: str) -> Iterator[Database]:
    """Return a database without a schema."""
    database = Database(postgres_url)
    yield database
    database.close()


@pytest.fixture
def database(empty: Database) -> Database:
    """Return a database with today's schema."""
    empty.create_all()
    return empty
