"""Several daemons in this process: servers with one database and one store of bytes, as behind a balancer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from tests.support.servers import ADMIN_TOKEN
from tests.support.shared_saver import SharedSaver, SharedStore


@contextmanager
def daemons(folder: Path, shared: SharedStore, count: int = 2) -> Iterator[list[OpStoreServer]]:
    """Open servers that share a database and the store."""
    with ExitStack() as held:
        database = Database(f"sqlite:///{folder / 'opstore.db'}")
        held.callback(database.close)
        database.acquire(None)
        servers = [OpStoreServer(SharedSaver(shared), database, token=ADMIN_TOKEN) for _ in range(count)]
        for server in servers:
            held.callback(server.close)
        yield servers


def kill(server: OpStoreServer) -> None:
    """Forget what the daemon has in memory, as `kill -9` does."""
    for opened in list(server.store.uploads.opened._opened.values()):
        opened.close()
    server.store.uploads.opened._opened.clear()
