"""Three daemons on one PostgreSQL database and one bucket, for the tests of a module."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from tests.support.object_store import ObjectStore
    from tests.support.postgres import Postgres


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, postgres: "Postgres", object_store: "ObjectStore"
) -> Iterator[Fleet]:
    """Three daemons that run."""
    folder = tmp_path_factory.mktemp("fleet")
    with (
        postgres.store_database() as database,
        object_store.fresh_prefix() as bucket,
        Fleet(folder, (database, bucket.url), bucket.environ) as running,
    ):
        yield running
