"""Fixtures of the tests of the command line's parts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.transfer import retry
from opstore_cli.transport import adapter
from tests.support.fake_daemon import TOKEN, FakeDaemon
from tests.support.user import User


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("OPSTORE_")]:
        monkeypatch.delenv(name)
    return User(tmp_path)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests and transfers without waiting."""
    monkeypatch.setattr(retry, "WAITS", (0.0,) * 5)
    monkeypatch.setattr(adapter, "BACKOFF", 0.0)
    monkeypatch.setattr(adapter, "JITTER", 0.0)


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    """A daemon that keeps bytes in memory and fails on demand."""
    with FakeDaemon() as fake:
        yield fake


@pytest.fixture
def client(daemon: FakeDaemon, tmp_path: Path) -> Iterator[OpStoreClient]:
    """A client of that daemon."""
    with OpStoreClient(settings=Settings(home=tmp_path / "home").with_url(daemon.url), token=TOKEN) as made:
        yield made
