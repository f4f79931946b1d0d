"""A home with a store, a folder for its backup, and a home without content."""

import shutil
from pathlib import Path

import pytest

from tests.support.backups import Home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home that each test gets a copy of."""
    made = Home(tmp_path_factory.mktemp("template") / "home")
    made.push(b"one", b"two")
    with made.opened() as store:
        store.push("forest", b"three", valid_with=["pca@1.0.0"], labels={"stage": "test"})
        store.tag("pca@1.0.0", "good")
        store.link("pca@1.0.1", "forest", valid=False, evidence="it crashed")
    return made


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Home:
    """A home with two versions of pca, one of forest that is valid with the first, and a tag."""
    shutil.copytree(template.path, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The path of a backup folder that does not exist yet."""
    return tmp_path / "backup"


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    """A home that does not exist yet."""
    return Home(tmp_path / "restored")
