"""The HTTP transport. It locates the local daemon again after it has stopped.

The requests library, which makes the connections, is imported with the first request.
"""

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opstore_cli.transport.interface import Body, Response, is_repeatable
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.transport.connections import Connections
    from opstore_cli.transport.direct import DirectConnections


class HttpTransport:
    """Sends requests to the daemon that `locate` returns, from any thread and in a forked process.

    `locate` is called with the first request, and again for a repeatable request that a local daemon no longer
    accepts: it stops when it is idle.
    """

    def __init__(self, locate: Callable[[], Target]) -> None:
        self._locate = locate
        self._lock = threading.Lock()
        self._target: Target | None = None
        self._connections: Connections | None = None
        self._inherited: list[Connections] = []
        _transports.add(self)

    @property
    def target(self) -> Target:
        """The daemon that requests go to."""
        return self._find(None)

    def close(self) -> None:
        """Close all connections. A later request opens new ones."""
        with self._lock:
            if self._connections is not None:
                self._connections.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        """Send a request as `Transport.request` does."""
        target = self.target
        options: dict[str, Any] = {"headers": headers, "parameters": parameters, "body": body}
        try:
            return self._connections_to(target).request(method, path, **options)
        except (errors.DaemonUnreachable, errors.ProofFailed):
            if target.local_daemon is None or not is_repeatable(method, headers):
                raise
        return self._connections_to(self._find(target)).request(method, path, **options)

    def direct(self, url: str) -> "DirectConnections":
        """Return connections to the server of a URL that the daemon has named. Raises DirectFailed."""
        from opstore_cli.transport.direct import DirectConnections

        return DirectConnections(url, self.target.url)

    def _find(self, stale: Target | None) -> Target:
        """Return the target; locate it again if the current one is `stale`."""
        with self._lock:
            if self._target is None or self._target is stale:
                self._target = self._locate()
            return self._target

    def _connections_to(self, target: Target) -> "Connections":
        from opstore_cli.transport.connections import Connections

        with self._lock:
            if self._connections is None or self._connections.target is not target:
                self._connections = Connections(target)
            return self._connections

    def _after_fork(self) -> None:
        """Leave the connections to the parent process: two processes that write to one mix up their requests."""
        # A thread of the parent may have held these locks. Closing the connections would wait for one of them.
        self._lock = threading.Lock()
        if self._connections is not None:
            self._inherited.append(self._connections)
            self._connections = None


_transports: weakref.WeakSet[HttpTransport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_transports):
        transport._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
