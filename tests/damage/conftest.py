"""Fixtures of the tests of damage: a daemon as a process of its own, and no waits between retries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_cli.transfer import retry
from opstore_cli.transport import adapter
from tests.support.daemon import Daemon


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests and transfers without waiting."""
    monkeypatch.setattr(retry, "WAITS", (0.0,) * len(retry.WAITS))
    monkeypatch.setattr(adapter, "BACKOFF", 0.0)
    monkeypatch.setattr(adapter, "JITTER", 0.0)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon as a process."""
    started = Daemon.start(tmp_path / "home")
    try:
        yield started
    finally:
        started.kill()
