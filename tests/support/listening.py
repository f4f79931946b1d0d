"""A fixture: a client of a daemon that listens, in an environment without settings. A conftest.py imports it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.savers import MemorySaver


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpStoreClient]:
    """A client, of a user without settings, of a daemon that keeps everything in memory."""
    for name in ("HOME", "XDG_CONFIG_HOME", "OPSTORE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("OPSTORE_ALLOW_PICKLE", "OPSTORE_URL", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with (
        closing(OpStoreServer(MemorySaver())) as server,
        Listener(server) as listener,
        OpStoreClient(listener.url, token=server.token) as made,
    ):
        yield made
