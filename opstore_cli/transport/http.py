"""The transport over HTTP: connections of each thread, and the daemon found again when it has gone.

The connections below it are made by requests, which is imported with the first request only.
"""

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opstore_cli.transport.interface import Body, Response, may_be_repeated
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.transport.connections import Connections


class HttpTransport:
    """Requests to the daemon that `locate` finds, from any thread.

    `locate` is called with the first request, and once more for a request that a local daemon no longer takes: it
    may have stopped at that moment, since it stops when it is idle.
    """

    def __init__(self, locate: Callable[[], Target]) -> None:
        self._locate = locate
        self._target: Target | None = None
        self._locks: dict[int, threading.Lock] = {}
        self._mine = threading.local()
        self._all: weakref.WeakSet[Connections] = weakref.WeakSet()

    @property
    def _lock(self) -> threading.Lock:
        # One for each process: what another thread held as this one was forked is never let go of here.
        return self._locks.setdefault(os.getpid(), threading.Lock())

    @property
    def target(self) -> Target:
        """The daemon that is asked."""
        return self._find(None)

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            for connections in self._all:
                connections.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        """As `Transport.request`."""
        target = self.target
        asked: dict[str, Any] = {"headers": headers, "parameters": parameters, "body": body}
        try:
            return self._connections(target).request(method, path, **asked)
        except (errors.DaemonUnreachable, errors.ProofFailed):
            if target.local_daemon is None or not may_be_repeated(method, headers):
                raise
        return self._connections(self._find(target)).request(method, path, **asked)

    def _find(self, gone: Target | None) -> Target:
        """The target, looked for anew where it is the one that has gone."""
        with self._lock:
            if self._target is None or self._target is gone:
                self._target = self._locate()
            return self._target

    def _connections(self, target: Target) -> "Connections":
        from opstore_cli.transport.connections import Connections

        mine: Connections | None = getattr(self._mine, "connections", None)
        # A forked process has its parent's sockets: two that write to one mix up their requests.
        if mine is None or mine.target is not target or mine.process != os.getpid():
            if mine is not None:
                mine.close()
            mine = self._mine.connections = Connections(target)
            with self._lock:
                self._all.add(mine)
        return mine
