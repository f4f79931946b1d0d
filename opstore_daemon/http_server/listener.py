"""A waitress server for an OpStoreServer: its settings, its loop, and its orderly stop."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher

from opstore_daemon.http_server.acceptor import MAX_SHARE, Acceptor
from opstore_daemon.http_server.channel import Channel, channel_class
from opstore_daemon.http_server.shares import ACCEPTS, Shares, connections_for, uploads_for
from opstore_daemon.protocol import errors
from opstore_daemon.server import OpStoreServer
from opstore_daemon.system.descriptors import open_files
from opstore_daemon.web.app import check_scopes
from opstore_daemon.web.guards import LOOPBACK

GRACE = 30.0  # seconds that running requests have to finish after `stop`
HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where clients of this machine reach the daemon

# Waitress' defaults are for small pages on a public address: it listens on 0.0.0.0, accepts bodies of 1 GiB, reads
# 8 KiB at a time, and has 4 threads. Long work takes at most 10 of ours (store.places, and one collection), so that
# other requests always find one.
SETTINGS: dict[str, Any] = {
    "threads": 12,
    "backlog": 512,
    "asyncore_use_poll": True,  # select() is limited to 1,024 descriptors
    "recv_bytes": MAX_SHARE,
    # Waitress buffers bodies of at most MAX_FORM bytes. Beyond this size it uses an unnamed file, so that one body for
    # each connection takes 128 MiB of memory instead of a GiB. Most bodies are far smaller.
    "inbuf_overflow": 256 * 1024,
    "outbuf_overflow": 64 * 1024 * 1024,  # no response is larger: the bytes of blobs go through file_wrapper.py
    # Beyond this size a thread that writes a response would wait for its client. shares.py bounds unread responses.
    "outbuf_high_watermark": 2**62,
    "max_request_body_size": 2**62,  # parser.py has the limits of heads and bodies, which differ by route
    "channel_request_lookahead": 0,
    "expose_tracebacks": False,
    "log_socket_errors": False,
    "ident": None,
    "trusted_proxy": None,
    "clear_untrusted_proxy_headers": True,
}


class Listener:
    """An HTTP server on a port of loopback, or of an address that only a proxy with TLS can reach.

    As a context manager, it serves in a thread of its own. `url` is for clients on this machine.
    """

    def __init__(
        self,
        server: OpStoreServer,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        behind_proxy: bool = False,
        clock: Callable[[], float] = time.monotonic,
        bounds: Shares | None = None,
    ) -> None:
        """Listen on the port (0: any free one); raise ListenRefused, or InvalidSetting if the port can't be used.

        `behind_proxy`: the operator states that other machines reach the address only through a proxy with TLS.
        `clock` returns seconds since any fixed time: the deadlines of connections are those of this clock. `bounds` on
        their number follow by default from how many files the process may have open.
        """
        check_scopes(server.flask)
        self._socket = _listen(host, port, behind_proxy=behind_proxy)
        address: str = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{_authority_of(host)}:{self.port}"
        self._map: dict[int, Any] = {}
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns whenever a request waits for a thread
        files = open_files()
        server.store.uploads.opened.max_open = uploads_for(files)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(SETTINGS["threads"])
        self._waitress = Acceptor(
            server.flask,
            clock=clock,
            bounds=bounds or Shares(connections_for(files)),
            storage_is_slow=server.store.saver.needs_records,
            map=self._map,
            _sock=self._socket,
            dispatcher=dispatcher,
            adj=Adjustments(sockets=[self._socket], server_name=address, **SETTINGS),
            sockinfo=(self._socket.family, self._socket.type, self._socket.proto, self._socket.getsockname()),
        )
        self._waitress.channel_class = channel_class(
            server.guards, server.store.uploads, self.port, self._waitress.storage
        )
        self._stopping = threading.Event()
        self._readiness = server.readiness
        self._drained_at = float("inf")
        self._ended = False
        self._end_lock = threading.RLock()  # reentrant: a signal may arrive in the thread that holds it
        self._deadline = float("inf")
        self._last_busy = time.monotonic()
        self._thread: threading.Thread | None = None
        self._before_closing: Callable[[], None] = lambda: None
        server.on_stop = self.stop

    def run(
        self,
        idle_timeout: float = 0,
        is_wanted: Callable[[], bool] = lambda: True,
        before_closing: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve until `stop`, until no request arrives for `idle_timeout` seconds, or until `is_wanted` returns False.

        0: no idle timeout. `is_wanted` is called about once a second, and `before_closing` once, before the port is
        closed.
        """
        self._before_closing = before_closing
        checked_at = time.monotonic()
        while not self._is_done():
            wasyncore.loop(self._waitress.timeout, use_poll=True, map=self._map, count=1)
            self._waitress.tend()
            if time.monotonic() - checked_at > 1 and not self._stopping.is_set():
                checked_at = time.monotonic()
                if not is_wanted():
                    self.stop()
            if any(not channel.idle for channel in self._channels()):
                self._last_busy = time.monotonic()
            elif idle_timeout and time.monotonic() - self._last_busy > idle_timeout:
                logging.getLogger("opstore.daemon").info("stopping after %g s without a request", idle_timeout)
                self.stop()
        for channel in self._channels():
            channel.will_close = True  # a search that is still running ends with its client
        self._waitress.storage.shutdown()
        self._waitress.task_dispatcher.shutdown(timeout=5)
        for channel in self._channels():
            channel.handle_close()
        with self._end_lock:
            self._ended = True
            self._waitress.end()
            wasyncore.close_all(self._map)

    def idle_for(self) -> float:
        """Return the seconds since the last request."""
        return time.monotonic() - self._last_busy

    def stop(self, drain: float = 0.0) -> None:
        """Accept no more connections, let running requests finish, then end `run`. Safe in a signal handler.

        The daemon is not ready from now on. It goes on serving for `drain` seconds, so that a load balancer finds that
        out before the port is closed; a second call ends that.
        """
        is_first, self._readiness.is_stopping = not self._readiness.is_stopping, True
        if is_first and drain:
            self._drained_at = time.monotonic() + drain
        elif not self._stopping.is_set():
            self._deadline = time.monotonic() + GRACE
            self._stopping.set()
        with self._end_lock:
            if not self._ended:  # afterwards the trigger's descriptor is closed, or reused
                self._waitress.pull_trigger()

    def _channels(self) -> list[Channel]:
        return self._waitress.channels()

    def _accept_waiting(self) -> None:
        # The system has accepted these connections for us, and would reset them when the socket is closed.
        known = -1
        while len(self._channels()) > known:
            known = len(self._channels())
            self._waitress.handle_accept(ACCEPTS)

    def _is_done(self) -> bool:
        if time.monotonic() > self._drained_at:
            self.stop()
        if not self._stopping.is_set():
            return False
        if self._waitress.accepting:
            self._before_closing()
            self._accept_waiting()
            self._waitress.accepting = False
            wasyncore.dispatcher.close(self._waitress)
        for channel in self._channels():
            if channel.idle:
                channel.handle_close()
        return not self._channels() or time.monotonic() > self._deadline

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="opstore-listener", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()


def _authority_of(host: str) -> str:
    here = HERE.get(host, host)
    return f"[{here}]" if ":" in here else here


def _listen(host: str, port: int, *, behind_proxy: bool) -> socket.socket:
    if (f"[{host}]" if ":" in host else host) not in LOOPBACK:
        if not behind_proxy:
            raise errors.ListenRefused(host=host)
        try:
            ip_address(host)
        except ValueError:
            reason = f"{host!r} is not an address such as 0.0.0.0 or 10.0.0.5"
            raise errors.InvalidSetting(setting="--host", reason=reason) from None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        reason = f"port {port} of {host} can't be used: {errors.reason(error)}"
        raise errors.InvalidSetting(setting="--port", reason=reason) from None
    return listening
