"""The one place that reaches into waitress on the way in: what is refused, and where bytes go, before a body is taken.

Waitress takes a whole body in before the application runs: before anybody is authenticated, and, when it is
large, by way of a second file. It also folds Transfer-Encoding into Content-Length before WSGI sees it. So its
request parser is subclassed: the head is checked here (framing, Host, token, sizes), and the body of an append
goes to its upload as it arrives. Flask checks all of it again, for other servers; without this module the
application reads the same stream itself.
"""

import functools
import logging
import re
import socket
import time
import uuid
from collections import Counter
from io import BytesIO
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error as WaitressError

from opstore_daemon.http_server.file_wrapper import ForwardBuffer, Slice
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.store.ingest.open_upload import Writer
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.system.loopback import without_pacing
from opstore_daemon.web.answers import refusal
from opstore_daemon.web.api.uploads import TAKEN_IN
from opstore_daemon.web.app import HEADERS, note, request_id
from opstore_daemon.web.guards import Credential, Guards, check_content, parse_count

log = logging.getLogger("opstore.error")

# How long, and for how many bytes, a refused client is listened to, so that it can read why.
LINGER_SECONDS = 5.0
LINGER_BYTES = 256 * 1024 * 1024

_UPLOAD = re.compile(re.escape(routes.UPLOAD).replace("<upload>", "([0-9a-f]{32})"))
_VERSIONS = re.compile(re.escape(routes.VERSIONS).replace("<op>", "[^/]+"))
_ONCE = (b"content-length", b"transfer-encoding", b"host", b"authorization", b"content-type", b"upload-offset")
# Waitress merges slashes at the beginning, and hands on any byte; then the application reads another path than we.
_TARGET = re.compile(r"/(?!/)[!\"$-~]*")


class Refusal:
    """An error in the form that waitress answers before any application ran; the connection is closed then."""

    request_id = path = ""

    def __init__(self, error: errors.OpStoreError) -> None:
        self.error = error

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, headers and body."""
        status, headers, body = refusal(self.error, self.path)
        told = {**HEADERS, **dict(headers), routes.REQUEST_ID: self.request_id}
        return f"{status} Refused", list(told.items()), body


def _from_waitress(error: WaitressError) -> Refusal:
    by_status: dict[int, errors.OpStoreError] = {
        413: errors.TooLarge(what="the body", size=0, limit=limits.MAX_JSON),
        431: errors.HeadersTooLarge(limit=limits.MAX_HEADERS),
        500: errors.InternalError(reference=uuid.uuid4().hex[:12]),
        501: errors.AmbiguousFraming(reason="of Transfer-Encoding only chunked is taken"),
    }
    return Refusal(by_status.get(error.code, errors.InvalidRequest(reason=str(error.body)[:200])))


class Received:
    """What a channel hands on in place of bytes that are kept already: how many, and what was wrong with them."""

    def __init__(self, count: int, error: errors.OpStoreError | None = None) -> None:
        self.count, self.error = count, error

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> "Received":
        """Of the first so many: no more are received than belong to the body."""
        return Received(len(range(self.count)[part]), self.error)


class Sink:
    """What waitress takes for the buffer of a body: it hands the bytes on to an upload, as they come."""

    def __init__(self, writer: Writer, parser: "IntakeParser") -> None:
        self.writer = writer
        self._parser = parser
        self._taken = 0

    def receive(self, source: socket.socket, most: int) -> Received:
        """Has the upload take up to so many of the bytes that have come; raises OSError where the connection fails."""
        try:
            return Received(self.writer.receive(source, most))
        except errors.OpStoreError as error:
            return Received(1, error)  # however many those were: the rest is passed over, and the connection closed

    def append(self, data: bytes | Received) -> None:
        """Takes the bytes; a failure to do so ends the request."""
        self._taken += len(data)
        if self._parser.body_rcv.error is not None:
            return  # the rest of what was read may hold another chunk
        try:
            if not isinstance(data, Received):
                self.writer.append(data)
            elif data.error is not None:
                raise data.error
        except errors.OpStoreError as error:
            self._parser.body_rcv.error = Refusal(error)

    def __len__(self) -> int:
        return self._taken

    def getfile(self) -> BytesIO:
        """The body, for the application: it has been taken in already."""
        return BytesIO()

    def getbuf(self) -> "Sink":
        """Itself."""
        return self

    def close(self) -> None:
        """The request is over, however it ended: the bytes so far stay, and others may append."""
        self.writer.close()


def _check_framing(head: bytes, *, chunked: bool) -> None:
    # RFC 9112, sections 3.2, 5.2, 6.1 and 6.3: what two readers could read in two ways is refused.
    lines = head.split(b"\r\n")[1:]
    if any(line.startswith((b" ", b"\t")) for line in lines):
        raise errors.AmbiguousFraming(reason="a header goes on in the next line")
    fields = [(name.lower(), value.strip(b" \t").lower()) for name, _, value in (x.partition(b":") for x in lines)]
    counts = Counter(name for name, _ in fields)
    for name in _ONCE:
        if counts[name] > 1:
            raise errors.AmbiguousFraming(reason=f"{name.decode()} comes twice")
    if counts[b"transfer-encoding"]:
        if counts[b"content-length"]:
            raise errors.AmbiguousFraming(reason="it has a Content-Length and a Transfer-Encoding")
        # Waitress reads a list, with blanks in it or with chunked in it twice, as chunked.
        if not chunked or dict(fields)[b"transfer-encoding"] != b"chunked":
            raise errors.AmbiguousFraming(reason="of Transfer-Encoding only chunked is taken, in HTTP/1.1")


class IntakeParser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request, and refuses it at its head where it is to be refused."""

    sink: Sink | None = None
    error: Any
    body_rcv: Any
    command = path = "-"

    def __init__(self, adj: Any, guards: Guards, uploads: Uploads, port: int) -> None:
        super().__init__(adj)
        self._guards, self._uploads, self._port = guards, uploads, port

    def received(self, data: bytes | Received) -> int:
        """Takes data in; behind a refusal everything is passed over, since it may be the rest of a body."""
        consumed: int = super().received(data)
        if self.chunked and self.body_rcv is not None and self.error is None:
            self._bound_lines(self.body_rcv)
        if self.error is None:
            return consumed
        if isinstance(self.error, WaitressError):
            self.error = _from_waitress(self.error)
        else:
            self.error.path = self.path  # which waitress makes up for a head that it can't read
        self.expect_continue = False  # or waitress asks for the body after all
        self.error.request_id = request_id(self.header(routes.REQUEST_ID))
        note(self.error.request_id, self.command, self.path, self.error.error.status)
        self.close()  # before the answer: whoever has it may append at once
        return len(data)

    def _bound_lines(self, chunks: ChunkedReceiver) -> None:
        # Waitress keeps an unfinished line between chunks, and the trailer, however long they grow.
        if len(chunks.control_line) + len(chunks.trailer) > limits.MAX_HEADERS:
            self.error, self.completed = Refusal(errors.HeadersTooLarge(limit=limits.MAX_HEADERS)), True

    def receive(self, source: socket.socket) -> Received | None:
        """The next bytes of a body that goes to an upload, if nothing else can come next."""
        body = self.body_rcv
        if self.sink is None or not isinstance(body, FixedStreamReceiver) or not body.remain:
            return None
        return self.sink.receive(source, body.remain)

    def parse_header(self, head: bytes) -> None:
        """Reads the head, checks it, and says where the body goes."""
        try:
            super().parse_header(head)
        except ValueError:  # of urlsplit, or of an int of thousands of digits: waitress catches neither
            raise ParsingError("it can't be read") from None
        if self.body_rcv is None:
            self.expect_continue = False  # or waitress waits for a body that never comes
        try:
            _check_framing(head, chunked=self.chunked)
            self._check_line()
            credential = self._guards.check(self.header, self.path, self._port)
            self._direct_body(credential)
        except errors.OpStoreError as error:
            self.error = Refusal(error)
            self.body_rcv, self.content_length = None, 0

    def header(self, name: str) -> str | None:
        """A header, by its usual name."""
        value: str | None = self.headers.get(name.upper().replace("-", "_"))
        return value

    def _check_line(self) -> None:
        if self.version not in ("1.0", "1.1"):
            raise errors.InvalidRequest(reason="only HTTP/1.0 and HTTP/1.1 are spoken here")
        if _TARGET.fullmatch(self.request_uri) is None:
            raise errors.InvalidRequest(reason="it does not name a path of this daemon")

    def _direct_body(self, credential: Credential | None) -> None:
        if self.body_rcv is None:
            return
        if credential is None:
            raise errors.InvalidRequest(reason="this request takes no body")
        upload = _UPLOAD.fullmatch(self.path)
        if self.command == "PATCH" and upload is not None:
            self._take_in(credential, upload[1])
        elif self.chunked:
            raise errors.LengthRequired
        elif self.content_length > self._limit():
            raise errors.TooLarge(what="the body", size=self.content_length, limit=self._limit())

    def _limit(self) -> int:
        """Bytes that a body may have which waitress takes in."""
        pushes = self.command == "POST" and _VERSIONS.fullmatch(self.path) is not None
        content = (self.header("Content-Type") or "").partition(";")[0].strip().lower()
        return limits.MAX_FORM if pushes and content == routes.FORM else limits.MAX_JSON

    def _take_in(self, credential: Credential, upload: str) -> None:
        credential.require("write")
        check_content(self.header, routes.APPEND_TYPE)
        if self.query:
            raise errors.InvalidRequest(reason="there are no parameters here")
        offset = parse_count(self.header(routes.UPLOAD_OFFSET), routes.UPLOAD_OFFSET)
        length = None if isinstance(self.body_rcv, ChunkedReceiver) else self.content_length
        self.sink = Sink(self._uploads.writer(upload, credential.owner, offset, length), self)
        self.body_rcv.buf = self.sink


class IntakeTask(WSGITask):  # type: ignore[misc]
    """Tells the application what was taken in, and how bytes go out."""

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        environ["opstore.file_wrapper"] = ForwardBuffer
        if self.request.sink is not None:
            environ[TAKEN_IN] = self.request.sink.writer
        return environ

    # A head that is sent by itself costs a call, and wakes the client for nothing: it waits for what comes behind it.

    def build_response_header(self) -> bytes:
        """None of it yet: the channel holds the head until there is more to send, or no more."""
        self.channel.held = super().build_response_header()
        return b""

    def finish(self) -> None:
        """All of the answer is written."""
        super().finish()
        self.channel.write_soon(self.channel.take_held())


class IntakeErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers a refusal; or, where an answer broke off before its first byte, that nobody foresaw it."""

    def execute(self) -> None:
        """Answers."""
        if isinstance(self.request.error, WaitressError):
            self.request.error = _from_waitress(self.request.error)
            self.request.error.request_id = request_id(None)
            log.error("the internal error above has the reference %s", self.request.error.error.details["reference"])
        super().execute()


class IntakeChannel(HTTPChannel):  # type: ignore[misc]
    """A connection. Says why it refuses, also to a client that is still sending; lets go of an upload when it ends."""

    task_class = IntakeTask
    error_task_class = IntakeErrorTask
    close_when_flushed: bool
    held = b""  # the head of an answer that is being written
    _refused = False
    _linger_until: float | None = None
    _drained = 0

    def __init__(self, server: Any, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(server, sock, *arguments, **options)
        without_pacing(sock)

    @property
    def idle(self) -> bool:
        """Whether no request is running, coming in or being answered."""
        return not (self.requests or self.request is not None or self.total_outbufs_len)

    def recv(self, buffer_size: int) -> bytes | Received:
        """The next bytes; of an upload, how many it took."""
        try:
            received: Received | None = None if self.request is None else self.request.receive(self.socket)
        except ConnectionError:
            received = Received(0)
        if received is None:
            data: bytes = super().recv(buffer_size)
            return data
        if not received:
            self.handle_close()
        return received

    def send(self, data: bytes | memoryview | Slice, do_close: bool = True) -> int:
        """Sends some of it; returns how many bytes."""
        if not isinstance(data, Slice):
            return int(super().send(data, do_close))
        try:
            return data.send(self.socket)
        except BlockingIOError:
            return 0
        except ConnectionError:
            if do_close:
                self.handle_close()
            return 0

    def write_soon(self, data: bytes | ForwardBuffer) -> int:
        """Sends what is to be sent, behind what is held."""
        if not data:
            return 0
        held = self.take_held()
        if isinstance(data, bytes):
            return int(super().write_soon(held + data))
        return int(super().write_soon(held) + super().write_soon(data))

    def take_held(self) -> bytes:
        """What is held, which is to be sent now."""
        held, self.held = self.held, b""
        return held

    def service(self) -> None:
        """Runs one request, in a thread of the application."""
        self._refused = self.requests[0].error is not None
        super().service()

    # A connection that is closed while bytes are unread is reset, and the client may lose the answer: so the
    # refusal is sent, then the end of it, and what still comes in is passed over for a while (RFC 9112, 9.6).

    def handle_write(self) -> None:
        """Sends what is to be sent."""
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
        """Whether there is something to send, or to close."""
        if self._linger_until is not None:
            return self.will_close or time.monotonic() > self._linger_until
        if self.requests and not self.will_close:
            # A thread answers: it sends what it writes by itself, and wakes the loop at its end. A loop that wanted to
            # send meanwhile would find the lock taken, over and over, and keep the interpreter from that thread.
            return bool(self.total_outbufs_len > self.adj.outbuf_high_watermark)  # for this the thread waits
        return bool(super().writable())

    def readable(self) -> bool:
        """Whether more is taken in."""
        return self._linger_until is not None or bool(super().readable())

    def received(self, data: bytes | Received) -> bool:
        """Takes data in."""
        if self._linger_until is None:
            return bool(super().received(data))
        self._drained += len(data)
        if self._drained > LINGER_BYTES or time.monotonic() > self._linger_until:
            self.will_close = True
        return False

    def handle_close(self) -> None:
        """The connection is over."""
        if self.request is not None:
            self.request.close()
        super().handle_close()


def channel_class(guards: Guards, uploads: Uploads, port: int) -> type[IntakeChannel]:
    """The channel for a server that listens on the port."""
    parser = functools.partial(IntakeParser, guards=guards, uploads=uploads, port=port)
    return type("Channel", (IntakeChannel,), {"parser_class": staticmethod(parser)})
