"""Clients for chariots applications: of a server in this process, and of a daemon that listens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_cli import BaseOpStoreClient
from tests.scenarios import Scene
from tests.scenarios.test_scenarios import in_process, over_http


@pytest.fixture(params=[in_process, over_http], ids=["process", "http"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A store and what is behind it."""
    with request.param(tmp_path) as made:
        made.forget_durability()
        yield made


@pytest.fixture
def client(scene: Scene) -> BaseOpStoreClient:
    """A client of a store that has nothing."""
    assert isinstance(scene.store, BaseOpStoreClient)
    return scene.store
