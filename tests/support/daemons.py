"""Several daemons in this process: servers with one database and one store of bytes, as behind a balancer."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata import Database
from opstore_daemon.savers import BaseSaver
from tests.support.servers import ADMIN_TOKEN
from tests.support.shared_saver import SharedSaver, SharedStore
from tests.support.waiting import wait_for


@contextmanager
def daemons(folder: Path, shared: SharedStore, count: int = 2) -> Iterator[list[OpStoreServer]]:
    """Open servers that share a database and the store."""
    with servers_of([SharedSaver(shared) for _ in range(count)], f"sqlite:///{folder / 'opstore.db'}") as servers:
        yield servers


@contextmanager
def servers_of(savers: Sequence[BaseSaver], url: str) -> Iterator[list[OpStoreServer]]:
    """Open a server for each saver. They share the database: in PostgreSQL, each has connections of its own."""
    with ExitStack() as held:
        is_file = url.startswith("sqlite:")
        databases = [Database(url) for _ in range(1 if is_file else len(savers))] * (len(savers) if is_file else 1)
        for database in dict.fromkeys(databases):
            held.callback(database.close)
            database.acquire(None)
        servers = [OpStoreServer(*each, token=ADMIN_TOKEN) for each in zip(savers, databases, strict=True)]
        for server in servers:
            held.callback(server.close)
        yield servers


def kill(server: OpStoreServer) -> None:
    """Forget what the daemon has in memory, as `kill -9` does."""
    for opened in list(server.store.uploads.opened._opened.values()):
        opened.close()
    server.store.uploads.opened._opened.clear()


class Fleet:
    """Daemons that listen, each of which can be killed and started again on its port."""

    def __init__(self, servers: list[OpStoreServer]) -> None:
        self.servers = servers
        self.listeners: list[Listener] = []
        self.kills = 0

    @property
    def urls(self) -> list[str]:
        return [listener.url for listener in self.listeners]

    def __enter__(self) -> Self:
        for server in self.servers:
            self.listeners.append(Listener(server).__enter__())
        return self

    def kill(self, at: int) -> None:
        """End a daemon as `kill -9` does: its connections are reset, and what it had in memory is gone."""
        self.kills += 1
        listener, server = self.listeners[at], self.servers[at]
        listener._waitress.trigger.pull_trigger(lambda: reset_all(listener))
        wait_for(lambda: not listener._channels(), "the end of its connections")
        kill(server)

    def __exit__(self, *_: object) -> None:
        for listener in self.listeners:
            listener.__exit__(None, None, None)


def reset_all(listener: Listener) -> None:
    """Reset all connections, in the loop: nobody stores what they brought."""
    for channel in listener._channels():
        request = channel.request
        if request is not None and request.upload_body is not None and request.upload_body.writer is not None:
            request.upload_body.writer._opened.close()
        channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        channel.handle_close()
