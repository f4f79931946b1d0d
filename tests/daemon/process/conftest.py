"""Daemons that stop with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

Start = Callable[..., Daemon]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a data folder that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Return a function that starts a daemon of the home: `start("--port", "0", OPSTORE_IDLE_TIMEOUT="1s")`."""
    started: list[Daemon] = []

    def begin(*arguments: str, **environ: str) -> Daemon:
        daemon = Daemon.start(home, arguments, **environ)
        started.append(daemon)
        return daemon

    yield begin
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()


@pytest.fixture
def daemon(start: Start) -> Daemon:
    """Return a daemon that is ready."""
    return start()
