"""Fixtures of the tests over HTTP."""

from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from tests.support.refusals import Watch


@pytest.fixture
def watch(server: OpStoreServer, listener: Listener, tmp_path: Path) -> Watch:
    """Return a watch that checks error responses and that they leave nothing behind."""
    return Watch(server, listener, tmp_path / "blobs")
