"""Daemons that stop with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, killed_at_the_end

Start = Callable[..., Daemon]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a data folder that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Return a function that starts a daemon of the home: `start("--port", "0", OPSTORE_IDLE_TIMEOUT="1s")`.

    A fork server starts it, or a new interpreter if it is to be `real`.
    """
    with killed_at_the_end() as started:

        def begin(*arguments: str, real: bool = False, **environ: str) -> Daemon:
            started.append(Daemon.start(home, arguments, real=real, **environ))
            return started[-1]

        yield begin


@pytest.fixture
def daemon(start: Start) -> Daemon:
    """Return a daemon that is ready."""
    return start()
