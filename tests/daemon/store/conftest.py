"""Fixtures: stores in memory and on files, or where else the place of a test is."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import FileSaver
from opstore_daemon.store import Store
from tests.support.places import Place, pytest_generate_tests

__all__ = ["pytest_generate_tests"]


@pytest.fixture
def memory(memory_server: OpStoreServer) -> OpStoreServer:
    """Return a store in memory."""
    return memory_server


Make = Callable[[type[FileSaver]], OpStoreServer]


@pytest.fixture
def make_server(place: Place, tmp_path: Path) -> Iterator[Make]:
    """Return a function that opens the store in the test's folder, also after it was closed.

    A kind of saver other than FileSaver itself is on files, wherever the database is.
    """
    with ExitStack() as stack:

        def make(kind: type[FileSaver] = FileSaver) -> OpStoreServer:
            saver = None if kind is FileSaver else kind(tmp_path / "blobs")
            return stack.enter_context(closing(place.open(tmp_path, saver)))

        yield make


@pytest.fixture
def files(make_server: Make) -> OpStoreServer:
    """Return a store on files."""
    return make_server(FileSaver)


@pytest.fixture(scope="module")
def shared(lasting_place: Place) -> Iterator[Store]:
    """Return one store for all examples, because creating one takes longer than an example."""
    with closing(lasting_place.open()) as server:
        yield server.store
