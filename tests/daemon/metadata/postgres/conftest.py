"""Fixtures: databases in the PostgreSQL server of the run."""

from collections.abc import Iterator

import pytest

from opstore_daemon.metadata import Database


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """Return a database with today's schema, and with a connection."""
    database = Database(store_url)
    database.create_all()
    yield database
    database.close()
