"""The listening socket in waitress' loop: it accepts connections, and closes those that exceed their bounds."""

import errno
import logging
import threading
from collections.abc import Callable
from typing import Any

from waitress.server import TcpWSGIServer

from opstore_daemon.http_server import shares
from opstore_daemon.http_server.channel import Channel
from opstore_daemon.http_server.fetched_buffer import FetchedBuffer
from opstore_daemon.http_server.file_wrapper import ForwardBuffer
from opstore_daemon.http_server.shares import GRACE, MAX_UNREAD, Shares
from opstore_daemon.http_server.storage_threads import StorageThreads
from opstore_daemon.protocol import errors
from opstore_daemon.store.blob_reader import BlobReader

log = logging.getLogger("opstore.daemon")

TURN = 8 * 1024 * 1024  # bytes that one turn of the loop receives or sends
MIN_SHARE, MAX_SHARE = 16 * 1024, 1024 * 1024  # of a connection in that

# accept(2) fails with these as long as the process or the system lacks something; the connection stays in the queue,
# so that a loop that asks again at once would spin.
EXHAUSTED = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
PAUSE = 1.0  # seconds without accepting, unless a connection is closed before
LOG_INTERVAL = 60.0  # seconds between reports of that


class Acceptor(TcpWSGIServer):  # type: ignore[misc]
    """The server of waitress, with our bounds. `clock` returns seconds since any fixed time."""

    def __init__(
        self, application: Any, *, clock: Callable[[], float], bounds: Shares, storage_is_slow: bool, **options: Any
    ) -> None:
        """`storage_is_slow`: the saver waits for an object store (http_server.storage_threads)."""
        self.clock, self.bounds = clock, bounds
        self.storage = StorageThreads(options["dispatcher"], self.wake, are_slow=storage_is_slow)
        self._waking, self._has_ended = threading.Lock(), False
        self.share = MAX_SHARE
        self._room = 1
        self._paused_until = self._logged_at = self._checked_at = float("-inf")
        super().__init__(application, bind_socket=False, **options)

    def wake(self) -> None:
        """Have the loop look at its connections again, from any thread, also after its end."""
        with self._waking:
            if not self._has_ended:  # afterwards the trigger's descriptor is closed, or reused
                self.pull_trigger()

    def end(self) -> None:
        """Wake the loop no more."""
        with self._waking:
            self._has_ended = True

    def channels(self) -> list[Channel]:
        """Return the connections."""
        return list(self.active_channels.values())

    def readable(self) -> bool:
        """Return whether to accept connections."""
        return bool(self.accepting) and self.clock() >= self._paused_until and self._room > 0

    def maintenance(self, now: float) -> None:
        """Do nothing: `tend` does it."""

    def handle_accept(self, count: int | None = None) -> None:
        """Accept waiting connections: at most `count`, by default as many as there is room for."""
        for _ in range(self._room if count is None else count):
            try:
                connection, address = self.socket.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._pause(error)
                return
            try:
                self.set_socket_options(connection)
                self.channel_class(self, connection, address, self.adj, map=self._map)
            except OSError:  # the client has closed it already
                connection.close()

    def _pause(self, error: OSError) -> None:
        self._paused_until = self.clock() + PAUSE
        if self.clock() - self._logged_at >= LOG_INTERVAL:
            self._logged_at = self.clock()
            count = len(self.active_channels)
            log.error("accept: %s; %d connections are open, and others wait", errors.reason(error), count)
        for channel in shares.least_wanted(self.channels()):
            channel.handle_close()

    @property
    def timeout(self) -> float:
        """The seconds until `tend` has to be called at the latest."""
        return 1.0 if self._room else GRACE

    def threads_are_wanted(self) -> bool:
        """Return whether a request waits for a thread."""
        return bool(self.task_dispatcher.queue) or self.storage.are_wanted()

    def serve(self, channel: Channel, *, waits_for_storage: bool) -> None:
        """Run the request of a connection in a thread."""
        if waits_for_storage:
            self.storage.serve(channel)
        else:
            self.add_task(channel)

    def file_wrapper(self, reader: BlobReader) -> ForwardBuffer:
        """Return the buffer that sends the bytes of the reader."""
        return FetchedBuffer(reader, self.storage) if self.storage.are_slow else ForwardBuffer(reader)

    def connection_closed(self) -> None:
        """Accept again if accepting was paused: a descriptor is free."""
        self._paused_until = float("-inf")

    def tend(self) -> None:
        """Start the requests that wait in their connections, and close the connections beyond a bound.

        Call it between two turns of the loop.
        """
        channels = self.channels()
        busy = sum(not channel.idle for channel in channels)
        self.share = max(MIN_SHARE, min(MAX_SHARE, TURN // max(1, busy)))
        for channel in channels:
            channel.resume()
        excess = self.bounds.excess(channels, self.clock())
        for channel in dict.fromkeys([*excess, *shares.unread(channels, MAX_UNREAD), *self._overdue(channels)]):
            channel.handle_close()
        self._room = self.bounds.room(self.channels())

    def _overdue(self, channels: list[Channel]) -> list[Channel]:
        now = self.clock()
        if now - self._checked_at < 1:
            return []
        self._checked_at = now
        if any(channel.lacks_memory for channel in channels):
            for channel in channels:
                channel.rest_if_quiet(now)
        return [channel for channel in channels if channel.is_overdue(now)]
