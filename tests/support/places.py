"""Where a test has its store: on this machine, or in PostgreSQL and an object store.

The fixture `place` opens servers. In the folders of tests whose conftest.py imports `pytest_generate_tests` from here,
each test that uses it, or a fixture made of it, runs in both places.
"""

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from tests.support.servers import TOKENS

if TYPE_CHECKING:
    from opstore_daemon.savers import S3Saver
    from tests.support.object_store import Bucket, ObjectStore
    from tests.support.postgres import Postgres

LOCAL, REMOTE = "local", "remote"
SAMPLE = 40
"""Of so many tests of the remote place, `make test` runs one: a store in it takes a quarter of a second."""


class Place(ABC):
    """Where stores are. Those that are opened with the same folder are one."""

    is_local: bool

    def open(self, folder: Path | None = None, saver: BaseSaver | None = None, **options: Any) -> OpStoreServer:
        """Open the store that has this folder, a new one without it. `options` are those of OpStoreServer."""
        url, own = self._store(folder)
        return OpStoreServer(own if saver is None else saver, url, **{**TOKENS, **options})

    @abstractmethod
    def _store(self, folder: Path | None) -> tuple[str, BaseSaver]:
        """Return the URL of the database, and a saver."""


class LocalPlace(Place):
    """In memory, or in a file and files in the folder."""

    is_local = True

    def _store(self, folder: Path | None) -> tuple[str, BaseSaver]:
        if folder is None:
            return "sqlite:///:memory:", MemorySaver()
        return f"sqlite:///{folder / 'opstore.db'}", FileSaver(folder / "blobs")


class RemotePlace(Place):
    """In databases of the PostgreSQL server and under prefixes of the bucket of a test run."""

    is_local = False

    def __init__(self, postgres: "Postgres", object_store: "ObjectStore", stack: ExitStack) -> None:
        """The databases are dropped with the stack; until then the environment has the credentials of the bucket."""
        self._postgres, self._object_store, self._stack = postgres, object_store, stack
        stack.enter_context(_environment(object_store.bucket().environ))
        self._stores: dict[Path, tuple[str, Bucket]] = {}

    def new(self) -> "tuple[str, Bucket]":
        """Return the URL of a new database with the schema, and an unused place for objects."""
        url = self._stack.enter_context(self._postgres.store_database())
        return url, self._stack.enter_context(self._object_store.fresh_prefix())

    def of(self, folder: Path) -> "tuple[str, Bucket]":
        """Return where the store of the folder is."""
        if folder not in self._stores:
            self._stores[folder] = self.new()
        return self._stores[folder]

    def _store(self, folder: Path | None) -> tuple[str, BaseSaver]:
        url, bucket = self.new() if folder is None else self.of(folder)
        return url, open_saver(bucket)


def open_saver(bucket: "Bucket") -> "S3Saver":
    """Return a saver in the bucket, whose credentials are in the environment."""
    from opstore_daemon.savers import S3Saver

    return S3Saver(bucket.url)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def opened(kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield the place of this kind, and free what is in it."""
    if kind == LOCAL:
        yield LocalPlace()
        return
    with ExitStack() as stack:
        yield RemotePlace(request.getfixturevalue("postgres"), request.getfixturevalue("object_store"), stack)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a place in both, unless it has the marker `local`."""
    if "place_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker(LOCAL) is None:
        kinds = [pytest.param(LOCAL, id=pytest.HIDDEN_PARAM), REMOTE]
        metafunc.parametrize("place_kind", kinds, indirect=True, scope="session")


def mark_slow(item: pytest.Item) -> None:
    """Mark a test of the remote place as slow, unless it is in the sample."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params.get("place_kind") == REMOTE and not is_sampled(item.nodeid, SAMPLE):
        item.add_marker(pytest.mark.slow)


def is_sampled(name: str, of: int) -> bool:
    """Return True for one of so many names, always the same."""
    return zlib.crc32(name.encode()) % of == 0
