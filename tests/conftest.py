"""Fixtures of all tests: servers, listening or not, and the end of what a session starts."""

import gc
import itertools
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.savers import MemorySaver
from tests.support import compiled, examples, forked
from tests.support.http_client import Http
from tests.support.servers import ADMIN_TOKEN, open_server

_NUMBERS = itertools.count()

pytest_plugins = ["opstore_daemon.testing"]
# A shell starts background jobs with SIGINT ignored, and all that they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
compiled.remember()
settings.load_profile(examples.QUICK)  # unless there is --hypothesis-profile all


def pytest_collection_finish() -> None:
    """Have garbage collections skip what was imported and collected: half a million objects that stay to the end."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Escape bytes that are not UTF-8 in what a test printed, or xdist could not send it and would end the run."""
    return _encodable((yield))


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_encodable, value))
    return value


@pytest.fixture(scope="session", autouse=True)
def fork_servers() -> Iterator[None]:
    """End the fork servers when the tests end."""
    yield
    forked.close_all()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, which is created by the first test that uses it."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(_NUMBERS)}"
    monkeypatch.setenv("OPSTORE_CACHE", str(folder))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpStoreServer]:
    """A server on a folder and a database file, with a token of each scope."""
    opened = open_server(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def memory_server() -> Iterator[OpStoreServer]:
    """A server that keeps everything in memory."""
    opened = OpStoreServer(MemorySaver(), token=ADMIN_TOKEN)
    yield opened
    opened.close()


@pytest.fixture
def listener(server: OpStoreServer) -> Iterator[Listener]:
    """The server, listening on a free port, in a thread."""
    with Listener(server) as running:
        yield running


@pytest.fixture
def http(listener: Listener) -> Iterator[Http]:
    """A client of the listening server, with the admin's token."""
    with Http(listener.url) as client:
        yield client
