"""Fixtures of the tests of the command line's parts."""

import os
from pathlib import Path

import pytest

from tests.support.user import User


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("OPSTORE_")]:
        monkeypatch.delenv(name)
    return User(tmp_path)
