"""Stores to work with."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver


@pytest.fixture
def memory() -> Iterator[OpStoreServer]:
    """A store of which nothing is on a disk."""
    with closing(OpStoreServer(MemorySaver())) as server:
        yield server


Make = Callable[[type[FileSaver]], OpStoreServer]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Make]:
    """Opens the store in the folder of the test with that kind of saver; again after it was closed, too."""
    with ExitStack() as stack:

        def make(kind: type[FileSaver] = FileSaver) -> OpStoreServer:
            saver: BaseSaver = kind(tmp_path / "blobs")
            return stack.enter_context(closing(OpStoreServer(saver, f"sqlite:///{tmp_path / 'opstore.db'}")))

        yield make


@pytest.fixture
def files(make_server: Make) -> OpStoreServer:
    """A store on files."""
    return make_server(FileSaver)
