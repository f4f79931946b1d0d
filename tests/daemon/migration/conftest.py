"""A store with rows of every kind, and empty places to move it to."""

import shutil
from pathlib import Path

import pytest

from tests.support.moves import StorePlace, tell_story


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> StorePlace:
    """The store that each test gets a copy of."""
    place = StorePlace.in_folder(tmp_path_factory.mktemp("told") / "home")
    tell_story(place)
    return place


@pytest.fixture
def source(told: StorePlace, tmp_path: Path) -> StorePlace:
    """A store in SQLite and files."""
    shutil.copytree(told.home, tmp_path / "source")
    return StorePlace.in_folder(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> StorePlace:
    """An empty place in SQLite and files."""
    (tmp_path / "target").mkdir()
    return StorePlace.in_folder(tmp_path / "target")
