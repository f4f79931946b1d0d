"""A real daemon in a test: the context manager `serving`, and pytest fixtures that use it.

With `pytest_plugins = ["opstore_daemon.testing"]` in the top-level conftest.py, a test can use the fixtures
`opstore_server` (with files in the test's own folder) and `opstore_memory_server` (in memory). Only the fixtures need
pytest.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.server import OpStoreServer
from opstore_daemon.web.guards import Scope

__all__ = ["Serving", "serving"]


@dataclass(frozen=True)
class Serving:
    """A daemon that listens on a free loopback port, in a thread of this process."""

    server: OpStoreServer
    listener: Listener

    @property
    def url(self) -> str:
        """The URL of the daemon."""
        return self.listener.url

    @property
    def token(self) -> str:
        """The token with the scope admin."""
        return self.server.token

    @property
    def flask(self) -> Flask:
        """The Flask application; its test client needs no network."""
        return self.server.flask

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which commands, and clients without arguments, find this daemon and start no other."""
        return {"OPSTORE_URL": self.url, "OPSTORE_TOKEN": self.token, "OPSTORE_NO_AUTOSTART": "1"}


@contextmanager
def serving(
    folder: Path | str | None = None,
    *,
    saver: BaseSaver | None = None,
    db_url: str | None = None,
    token: str | None = None,
    tokens: Mapping[str, Scope] | None = None,
    hosts: Iterable[str] = (),
) -> Iterator[Serving]:
    """Serve for the duration of the context, with bytes and database in the folder; in memory if there is none.

    A folder that was served before keeps its contents. The other arguments are those of OpStoreServer.
    """
    database = db_url or "sqlite:///:memory:"
    if folder is not None:
        place = Path(folder).absolute()
        place.mkdir(parents=True, exist_ok=True)
        database, saver = db_url or f"sqlite:///{place / 'opstore.db'}", saver or FileSaver(place / "blobs")
    server = OpStoreServer(saver or MemorySaver(), database, token=token, tokens=tokens, hosts=hosts)
    try:
        with Listener(server) as listener:
            yield Serving(server, listener)
    finally:
        server.close()


try:
    import pytest
except ImportError:
    pass  # `serving` works without pytest
else:

    @pytest.fixture
    def opstore_server(tmp_path: Path) -> Iterator[Serving]:
        """Return a daemon with its files in the folder `opstore` of the test's folder."""
        with serving(tmp_path / "opstore") as running:
            yield running

    @pytest.fixture
    def opstore_memory_server() -> Iterator[Serving]:
        """Return a daemon in memory."""
        with serving() as running:
            yield running
