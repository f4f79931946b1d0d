"""Fixtures: stores in memory and on files."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.store import Store


@pytest.fixture
def memory() -> Iterator[OpStoreServer]:
    """Return a store in memory."""
    with closing(OpStoreServer(MemorySaver())) as server:
        yield server


Make = Callable[[type[FileSaver]], OpStoreServer]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Make]:
    """Return a function that opens the store in the test's folder with a kind of saver, also after it was closed."""
    with ExitStack() as stack:

        def make(kind: type[FileSaver] = FileSaver) -> OpStoreServer:
            saver: BaseSaver = kind(tmp_path / "blobs")
            return stack.enter_context(closing(OpStoreServer(saver, f"sqlite:///{tmp_path / 'opstore.db'}")))

        yield make


@pytest.fixture
def files(make_server: Make) -> OpStoreServer:
    """Return a store on files."""
    return make_server(FileSaver)


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """Return one store for all examples, because creating one takes longer than an example."""
    with closing(OpStoreServer(MemorySaver())) as server:
        yield server.store
