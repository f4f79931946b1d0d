"""One connection: its requests, their responses, and its end."""

import functools
import logging
import select
import socket
import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error as WaitressError

from opstore_daemon.http_server.file_wrapper import FileSlice, ForwardBuffer
from opstore_daemon.http_server.parser import RequestParser
from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.http_server.upload_body import StoredBytes
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.system.loopback import disable_pacing
from opstore_daemon.web.api.uploads import UPLOAD_WRITER
from opstore_daemon.web.app import request_id
from opstore_daemon.web.framework.routing import IS_CLIENT_GONE
from opstore_daemon.web.guards import Guards

log = logging.getLogger("opstore.error")

# For how long, and for how many bytes, the rest of a refused request is read, so that its client can read the response.
LINGER_SECONDS = 5.0
LINGER_BYTES = 256 * 1024 * 1024


class ApplicationTask(WSGITask):  # type: ignore[misc]
    """Runs the application on one request, with the upload's writer and the file wrapper in its environment."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        environ["opstore.file_wrapper"] = ForwardBuffer
        environ[IS_CLIENT_GONE] = self.channel.is_client_gone
        if self.request.upload_body is not None:
            environ[UPLOAD_WRITER] = self.request.upload_body.writer
        return environ

    # The head is sent with the first bytes: by itself, it would cost a system call and wake the client for nothing.

    def build_response_header(self) -> bytes:
        """Pass the head to the channel, which sends it with the first bytes; return no bytes."""
        self.channel.pending_head = super().build_response_header()
        return b""

    def finish(self) -> None:
        """Finish the response; send its head if it has no body."""
        super().finish()
        self.channel.write_soon(self.channel.take_pending_head())


class ErrorResponseTask(ErrorTask):  # type: ignore[misc]
    """Sends the response to a refused request, or 500 if the application failed before its first byte."""

    def execute(self) -> None:
        """Send the response."""
        if isinstance(self.request.error, WaitressError):
            self.request.error = Refusal.from_waitress(self.request.error)
            self.request.error.request_id = request_id(None)
            log.error("the internal error above has the reference %s", self.request.error.error.details["reference"])
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A client that is still sending can read why it was refused. At its end, it releases its upload."""

    task_class = ApplicationTask
    error_task_class = ErrorResponseTask
    close_when_flushed: bool
    will_close: bool
    connected: bool
    pending_head = b""  # of the response that is being written
    _refused = False
    _linger_until: float | None = None
    _drained = 0

    def __init__(self, server: Any, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(server, sock, *arguments, **options)
        disable_pacing(sock)

    def is_client_gone(self) -> bool:
        """Return whether the connection has ended, or the client has closed its side: for long work of a request.

        The loop does not look at a connection whose request is running.
        """
        try:
            return self.will_close or not self.connected or _has_ended(self.socket)
        except (OSError, ValueError):  # the loop closed it in the meantime
            return True

    @property
    def idle(self) -> bool:
        """Whether no request is being received, run or answered."""
        return not (self.requests or self.request is not None or self.total_outbufs_len)

    def recv(self, buffer_size: int) -> bytes | StoredBytes:
        """Receive the next bytes, or have an upload receive them."""
        try:
            received: StoredBytes | None = None if self.request is None else self.request.receive(self.socket.fileno())
        except ConnectionError:
            received = StoredBytes(0)
        if received is None:
            data: bytes = super().recv(buffer_size)
            return data
        if not received:
            self.handle_close()
        return received

    def send(self, data: bytes | memoryview | FileSlice, do_close: bool = True) -> int:
        """Send as much as the socket accepts; return how many bytes that was."""
        if isinstance(data, FileSlice):
            try:
                return data.send(self.socket)
            except BlockingIOError:
                return 0
            except ConnectionError:
                if do_close:
                    self.handle_close()
                return 0
            except OSError:
                # The file system has no sendfile (EINVAL, ENOSYS …) or the disk failed: a read shows which.
                data = data.read_instead()
        return int(super().send(data, do_close))

    def write_soon(self, data: bytes | ForwardBuffer) -> int:
        """Queue data to send, after the pending head."""
        if not data:
            return 0
        head = self.take_pending_head()
        if isinstance(data, bytes):
            return int(super().write_soon(head + data))
        return int(super().write_soon(head) + super().write_soon(data))

    def take_pending_head(self) -> bytes:
        """Return the pending head and clear it."""
        head, self.pending_head = self.pending_head, b""
        return head

    def service(self) -> None:
        """Run one request, in a worker thread."""
        self._refused = self.requests[0].error is not None
        self.requests[0].end_refused_upload()  # before the response: what was refused is free when its client knows
        super().service()

    # The system resets a connection that is closed with unread bytes, and the client may lose the response. So after
    # a refusal the sending side is shut down, and what still arrives is discarded for a while (RFC 9112, 9.6).

    def handle_write(self) -> None:
        """Send what is queued; after a refusal, begin to linger."""
        if self._linger_until is not None:
            self.handle_close()
            return
        if not (self._refused and self.close_when_flushed):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            self._linger_until = time.monotonic() + LINGER_SECONDS
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()

    def writable(self) -> bool:
        """Return whether the loop has something to send, or to close."""
        if self._linger_until is not None:
            return self.will_close or time.monotonic() > self._linger_until
        if self.requests and not self.will_close:
            # The worker thread sends what it writes, and wakes the loop at its end. If the loop tried to send too,
            # it would spin on a lock that is held, and slow that thread down.
            return bool(self.total_outbufs_len > self.adj.outbuf_high_watermark)  # the thread waits for this
        return bool(super().writable())

    def readable(self) -> bool:
        """Return whether the loop should receive more."""
        return self._linger_until is not None or bool(super().readable())

    def received(self, data: bytes | StoredBytes) -> bool:
        """Pass received data to the parser, or discard it after a refusal."""
        if self._linger_until is None:
            return bool(super().received(data))
        self._drained += len(data)
        if self._drained > LINGER_BYTES or time.monotonic() > self._linger_until:
            self.will_close = True
        return False

    def handle_close(self) -> None:
        """Close the connection and release the upload that it was appending to."""
        if self.request is not None:
            self.request.close()
        super().handle_close()


def _has_ended(connection: socket.socket) -> bool:
    """Return whether the peer has closed or reset the connection; unread bytes stay unread."""
    if hasattr(select, "POLLRDHUP"):  # Linux: also behind unread bytes
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        return bool(poll.poll(0))
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def channel_class(guards: Guards, uploads: Uploads, port: int) -> type[Channel]:
    """Return the channel class of a server that listens on `port`."""
    parser = functools.partial(RequestParser, guards=guards, uploads=uploads, port=port)
    return type("Channel", (Channel,), {"parser_class": staticmethod(parser)})
