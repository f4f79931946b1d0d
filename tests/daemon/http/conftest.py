"""Fixtures of the tests over HTTP."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from tests.support.places import pytest_generate_tests
from tests.support.refusals import Watch

__all__ = ["pytest_generate_tests"]


@pytest.fixture
def watch(server: OpStoreServer, listener: Listener, tmp_path: Path) -> Iterator[Watch]:
    """Return a watch that checks error responses and that they leave nothing behind."""
    with closing(Watch(server, listener, tmp_path / "blobs")) as made:
        yield made
