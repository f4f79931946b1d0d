"""One connection: its requests, their responses, and its end."""

import functools
import logging
import select
import socket
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error as WaitressError

from opstore_daemon.http_server.fetched_buffer import FetchedBuffer
from opstore_daemon.http_server.file_wrapper import FileSlice, ForwardBuffer
from opstore_daemon.http_server.parser import READ, RequestParser
from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.http_server.storage_threads import StorageThreads
from opstore_daemon.http_server.upload_body import StoredBytes
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.system.loopback import disable_pacing
from opstore_daemon.web.api.uploads import UPLOAD_WRITER
from opstore_daemon.web.framework.routing import AUTHENTICATED, IS_CLIENT_GONE
from opstore_daemon.web.guards import Guards
from opstore_daemon.web.request_log import request_id

log = logging.getLogger("opstore.error")

# For how long, and for how many bytes, the rest of a refused request is read, so that its client can read the response.
LINGER_SECONDS = 5.0
LINGER_BYTES = 256 * 1024 * 1024

HEAD_SECONDS = 10.0  # for a whole head, from its first byte
BODY_SECONDS = 120.0  # for a whole body, unless it is that of an append
QUIET_SECONDS = 5.0  # without a byte of an append, after which its memory is for others, if they wait for some
STALLED_SECONDS = 120.0  # without a byte of a response, of an append, or of the next request


class ApplicationTask(WSGITask):  # type: ignore[misc]
    """Runs the application on one request, with the upload's writer and the file wrapper in its environment."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        environ["opstore.file_wrapper"] = self.channel.server.file_wrapper
        environ[IS_CLIENT_GONE] = self.channel.is_client_gone
        environ[AUTHENTICATED] = self.channel.set_authenticated
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
    """A connection. A client that is still sending can read why it was refused. Its end releases its upload.

    It takes one request at a time: what arrives behind it waits here until its response is sent. So no thread ever
    waits for a client, and many requests in one segment wait in turn with those of others. `server` is an Acceptor.
    """

    task_class = ApplicationTask
    error_task_class = ErrorResponseTask
    close_when_flushed: bool
    will_close: bool
    connected: bool
    pending_head = b""  # of the response that is being written
    authenticated = False  # whether any request on this connection had a valid token or session
    buffered = 0  # bytes of responses in memory
    request: RequestParser | None
    sent_continue: bool
    _behind: bytes | StoredBytes = b""  # received behind the current request
    _is_opening = False  # a thread opens the upload of the request
    _refused = False
    _linger_until: float | None = None
    _drained = 0

    def __init__(self, server: Any, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(server, sock, *arguments, **options)
        self.opened_at = self.active_at = self._began_at = server.clock()
        self._peer = f"{self.addr[0]}:{self.addr[1]}"
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
        return not (self.requests or self.request is not None or self.total_outbufs_len or self._behind)

    @property
    def is_waiting(self) -> bool:
        """Whether the upload that the client appends to takes no bytes now: the storage is slower than the client."""
        return self.request is not None and self.request.is_waiting()

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has exceeded the deadline of what it is doing; False while a request runs.

        While its upload is opened, or does not take the bytes that it has sent, or the next bytes for it are read, the
        client has no deadline, but it may have gone, which the loop does not see.
        """
        if self.requests or self._linger_until is not None:
            return False
        if self.is_waiting or self._is_fetching:
            if self.is_client_gone():
                return True
            if self._is_fetching or self._is_opening or _has_unread(self.socket):
                self.active_at = now
        if self.total_outbufs_len or self.request is None or self.request.upload_body is not None:
            return bool(now - self.active_at > STALLED_SECONDS)
        return bool(now - self._began_at > (BODY_SECONDS if self.request.headers_finished else HEAD_SECONDS))

    @property
    def lacks_memory(self) -> bool:
        """Whether an upload waits for memory, or for the storage."""
        body = None if self.request is None else self.request.upload_body
        return body is not None and body.lacks_memory

    def rest_if_quiet(self, now: float) -> None:
        """Give the memory of an append to others if its client has sent nothing for a while."""
        if self.request is not None and self.request.upload_body is not None and now - self.active_at > QUIET_SECONDS:
            self.request.upload_body.rest()

    def recv(self, buffer_size: int) -> bytes | StoredBytes:
        """Receive the next bytes, at most the share of a turn, or have an upload receive them."""
        share = min(buffer_size, self.server.share)
        try:
            received: StoredBytes | None = None
            if self.request is not None:
                received = self.request.receive(self.socket.fileno(), share)
        except ConnectionError:
            received = StoredBytes(0)
        if received is None:
            wanted = share if self._linger_until is not None else READ if self.request is None else self.request.reads
            data: bytes = super().recv(min(share, wanted))
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
            self.buffered += len(head) + len(data)
            return int(super().write_soon(head + data))
        self.buffered += len(head)
        return int(super().write_soon(head) + super().write_soon(data))

    def _flush_some(self, do_close: bool = True) -> bool:
        """Send what the socket accepts, at most the share of a turn; return whether that was anything.

        A thread goes on until a request waits for a thread: then the loop sends the rest.
        """
        sent = 0
        limit = self.server.share
        while (outbuf := self._unsent()) and not _must_fetch(outbuf):
            if sent >= limit:
                if do_close or self.server.threads_are_wanted():
                    break
                limit += self.server.share
            count = self.send(outbuf.get(min(self.sendbuf_len, limit - sent)), do_close=do_close)
            if not count:
                break
            outbuf.skip(count, True)
            sent += count
            self.total_outbufs_len -= count
        if not self.total_outbufs_len:
            self.buffered = 0
        if sent:
            self.active_at = self.server.clock()
        return bool(sent)

    def _unsent(self) -> Any:
        """Return the first buffer with bytes to send; None if there are none."""
        while not self.outbufs[0].__len__():
            if len(self.outbufs) == 1:  # waitress appends to the last one
                return None
            self.outbufs.pop(0).close()
        return self.outbufs[0]

    @property
    def _is_fetching(self) -> bool:
        """Whether a thread reads the bytes to send next."""
        return _must_fetch(self._unsent())

    def take_pending_head(self) -> bytes:
        """Return the pending head and clear it."""
        head, self.pending_head = self.pending_head, b""
        return head

    def service(self) -> None:
        """Run one request, in a worker thread."""
        self._refused = self.requests[0].error is not None
        self.requests[0].end_refused_upload()  # before the response, which says that the space is free
        super().service()
        self.active_at = self.server.clock()

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
        if not self.connected:
            return  # receiving or sending has found the connection reset, and closed it
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            self._linger_until = self.server.clock() + LINGER_SECONDS
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()

    def writable(self) -> bool:
        """Return whether the loop has something to send, or to close."""
        if self._linger_until is not None:
            return self.will_close or self.server.clock() > self._linger_until
        if self.requests and not self.will_close:
            # The worker thread sends what it writes, and wakes the loop at its end. If the loop tried to send too,
            # it would spin on a lock that is held, and slow that thread down.
            return False
        return bool(super().writable()) and (self.will_close or not self._is_fetching)

    def readable(self) -> bool:
        """Return whether the loop should receive more."""
        if self._linger_until is not None:
            return True
        return bool(not self._behind and super().readable() and not self.is_waiting)

    def received(self, data: bytes | StoredBytes) -> bool:
        """Pass received data to the parser up to the end of one request, or discard it after a refusal."""
        self.active_at = now = self.server.clock()
        if self._linger_until is not None:
            self._drained += len(data)
            if self._drained > LINGER_BYTES or now > self._linger_until:
                self.will_close = True
            return False
        with self.requests_lock:
            if self.will_close or self.close_when_flushed:
                return False
            while data and not self.requests and (isinstance(data, StoredBytes) or not self.is_waiting):
                data = data[self._parse(data, now) :]
            self._behind = data
        return True

    def _parse(self, data: bytes | StoredBytes, now: float) -> int:
        """Have the parser consume data; return how much it consumed. Start the request once it is complete."""
        if self.request is None:
            self.request, self._began_at = self.parser_class(self.adj, peer=self._peer), now
        consumed: int = self.request.received(data)
        self.authenticated = self.authenticated or self.request.credential is not None
        if self.request.is_opening:
            self._is_opening = True
        else:
            self._proceed(self.request)
        return consumed

    def set_authenticated(self) -> None:
        """Count the connection as one of a user: the application has found a session, for which no loop may wait."""
        self.authenticated = True

    def _proceed(self, request: RequestParser) -> None:
        """Ask for the body if the client waits for that; start the request if it is complete, or refused."""
        request.end_opening()
        if request.expect_continue and request.headers_finished and not self.sent_continue:
            self.send_continue()
        if request.completed:
            self.sent_continue = False
            self.requests.append(request)
            self.request = None
            if request.is_unstored:
                self.server.storage.run(lambda: self._store(request))
            else:
                self.server.serve(self, waits_for_storage=request.waits_for_storage)

    def _store(self, request: RequestParser) -> None:
        """Store what an append has brought, in a thread for that, and run its request."""
        request.store()
        self.server.serve(self, waits_for_storage=request.waits_for_storage)

    def resume(self) -> None:
        """Parse what arrived behind a request whose response is sent, or before its upload could take it."""
        if self._is_opening and self.request is not None and not self.request.is_opening:
            self._is_opening = False
            with self.requests_lock:
                if not self.will_close:
                    self._proceed(self.request)
        if self._behind and super().readable() and not self.is_waiting:
            data, self._behind = self._behind, b""
            self.received(data)

    def handle_expt(self) -> None:
        """Close a connection with urgent data, which nobody reads: poll(2) would report it for ever."""
        self.handle_close()

    def handle_close(self) -> None:
        """Close the connection and release the upload that it was appending to."""
        if self.request is not None:
            self.request.close()
        self._behind, self.buffered = b"", 0
        super().handle_close()
        self.server.connection_closed()


def _must_fetch(outbuf: Any) -> bool:
    """Return whether the next bytes of the buffer have to be read by a thread first; have it read them."""
    return isinstance(outbuf, FetchedBuffer) and not outbuf.is_ready()


def _has_unread(connection: socket.socket) -> bool:
    """Return whether bytes have arrived that are not read yet."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except (OSError, ValueError):
        return False


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


def channel_class(guards: Guards, uploads: Uploads, port: int, storage: StorageThreads) -> type[Channel]:
    """Return the channel class of a server that listens on `port`."""
    parser = functools.partial(RequestParser, guards=guards, uploads=uploads, port=port, storage=storage)
    return type("Channel", (Channel,), {"parser_class": staticmethod(parser)})
