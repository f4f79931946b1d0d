"""A listener that nobody can find any more."""

import threading

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener


def test_a_daemon_that_is_not_wanted_any_more_stops(server: OpStoreServer) -> None:
    listener = Listener(server)
    thread = threading.Thread(target=listener.run, kwargs={"wanted": lambda: False})
    thread.start()
    try:
        thread.join(10)
        assert not thread.is_alive()
    finally:
        listener.stop()
        thread.join()
