"""Fixtures of all tests: servers, listening or not, and the end of what a session starts."""

import gc
import itertools
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from tests.support import compiled, examples, forked, places, shares
from tests.support.http_client import Http
from tests.support.places import Place
from tests.support.private_server import shared

if TYPE_CHECKING:
    from tests.support.object_store import Bucket, ObjectStore
    from tests.support.postgres import Postgres

gc.disable()  # until everything is imported and collected, all of which stays to the end
_NUMBERS = itertools.count()

pytest_plugins = ["opstore_daemon.testing"]
# A shell starts background jobs with SIGINT ignored, and all that they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# NumPy's threads would wait busily for each other, on the processors that other workers and daemons need.
for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
compiled.remember()
settings.load_profile(examples.QUICK)  # unless there is --hypothesis-profile all


def pytest_collection_finish() -> None:
    """Have garbage collections skip what was imported and collected: half a million objects that stay to the end."""
    gc.freeze()
    gc.enable()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have `make test` run a sample of what needs PostgreSQL and an object store, and a share of some folders."""
    places.mark_slow(item)
    shares.mark_slow(item)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: pytest.CollectReport | pytest.TestReport) -> Generator[None, object, object]:
    """Escape bytes that are not UTF-8 in what a test printed, or xdist could not send it and would end the run."""
    data = yield
    return _encodable(data) if report.sections or report.longrepr else data


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


@pytest.fixture(scope="session")
def place_kind(request: pytest.FixtureRequest) -> str:
    """Where stores are: on this machine, unless a folder of tests has other places (tests.support.places)."""
    kind: str = getattr(request, "param", places.LOCAL)
    return kind


@pytest.fixture
def place(request: pytest.FixtureRequest, place_kind: str) -> Iterator[Place]:
    """Where the stores of a test are."""
    with places.opened(place_kind, request) as opened:
        yield opened


@pytest.fixture(scope="session")
def lasting_place(request: pytest.FixtureRequest, place_kind: str) -> Iterator[Place]:
    """Where the stores are that several tests share."""
    with places.opened(place_kind, request) as opened:
        yield opened


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[OpStoreServer]:
    """A server on a folder and a database file, with a token of each scope."""
    with closing(place.open(tmp_path)) as opened:
        yield opened


@pytest.fixture
def memory_server(place: Place) -> Iterator[OpStoreServer]:
    """A server that keeps everything in memory."""
    with closing(place.open()) as opened:
        yield opened


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


@pytest.fixture(scope="session")
def run_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(pytestconfig, "workerinput") else own


@pytest.fixture(scope="session")
def postgres(run_folder: Path) -> "Postgres":
    """The PostgreSQL server of this test run; never stop it: a test of faults starts one of its own."""
    from tests.support.postgres import Postgres

    return shared(Postgres, run_folder)


@pytest.fixture
def postgres_url(postgres: "Postgres") -> Iterator[str]:
    """The URL of an empty database in PostgreSQL, for SQLAlchemy."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def store_url(postgres: "Postgres") -> Iterator[str]:
    """The URL of a database in PostgreSQL with the schema of a new store, for SQLAlchemy."""
    with postgres.store_database() as url:
        yield url


@pytest.fixture(scope="session")
def object_store(run_folder: Path) -> "ObjectStore":
    """The S3 server of this test run; never stop it: a test of faults starts one of its own."""
    from tests.support.object_store import ObjectStore

    return shared(ObjectStore, run_folder)


@pytest.fixture
def bucket(object_store: "ObjectStore") -> Iterator["Bucket"]:
    """An unused prefix in a bucket of an S3 server, and what a client needs to reach it."""
    with object_store.fresh_prefix() as place:
        yield place
