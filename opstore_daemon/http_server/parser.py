"""The request parser: checks the head before the body is read, and directs the body of an append into its upload.

Waitress reads a whole body before the application authenticates the client, and copies a large one into a temporary
file. It also hides Transfer-Encoding from WSGI by turning it into a Content-Length. This subclass of its parser checks
framing, Host, token and sizes at the head, and the body of an append goes into its upload as it arrives. Flask checks
all of it again except framing, for other servers; behind those, the application reads the body of an append from the
WSGI stream. The work for each received byte is constant.
"""

import re
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.receiver import FixedStreamReceiver
from waitress.utilities import Error as WaitressError

from opstore_daemon.http_server.chunks import ChunkedBody
from opstore_daemon.http_server.framing import check_framing, simplified
from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.http_server.request_buffer import RequestBuffer
from opstore_daemon.http_server.storage_threads import StorageThreads
from opstore_daemon.http_server.upload_body import StoredBytes, UploadBody
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.web.guards import Credential, Guards
from opstore_daemon.web.request_log import log_request, request_id
from opstore_daemon.web.request_values import check_content, parse_count

READ = 64 * 1024  # bytes to receive in one call while it is unknown how many belong to the request
MAX_BLANK_LINES = 4  # before a request: RFC 9112, section 2.2, asks for one

_UPLOAD = re.compile(re.escape(routes.UPLOAD).replace("<upload>", "([0-9a-f]{32})"))
_VERSIONS = re.compile(re.escape(routes.VERSIONS).replace("<op>", "[^/]+"))
# Their requests read or store bytes, or ask what is stored; VERSIONS only if it is a push.
_STORAGE = re.compile(
    "|".join(
        re.sub("<[a-z]+>", "[^/]+", re.escape(path))
        for path in (
            routes.BYTES,
            routes.BLOBS,
            routes.UPLOADS,
            routes.UPLOAD,
            routes.PARTS,
            routes.PART_URLS,
            routes.FSCK,
            routes.GARBAGE,
            routes.DOWNLOAD,
        )
    )
)
# Waitress merges slashes at the beginning and lets any byte pass; the application would then read another path.
_TARGET = re.compile(r"/(?!/)[!\"$-~]*")

# The first byte of a TLS handshake, or of anything else that can't become a request.
_NO_REQUEST = re.compile(rb"[^\r\n\t -~]")


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """A parser for one request, which refuses a bad request at its head."""

    upload_body: UploadBody | None = None
    error: Any
    body_rcv: Any
    command = path = "-"
    completed: bool

    def __init__(
        self,
        adj: Any,
        guards: Guards,
        uploads: Uploads,
        port: int,
        peer: str = "",
        storage: StorageThreads | None = None,
    ) -> None:
        """`storage`: the threads that open uploads; without them, this waits."""
        super().__init__(adj)
        self._guards, self._uploads, self._port, self._peer, self._storage = guards, uploads, port, peer, storage
        self._head = bytearray()
        self._blank_lines = 0
        self.credential: Credential | None = None  # once the head is checked, unless its path is public

    @property
    def reads(self) -> int:
        """How many bytes to receive in one call: what remains of a body or chunk, at least READ."""
        remain = 0 if self.body_rcv is None else self.body_rcv.remain
        return int(max(remain, READ))

    def received(self, data: bytes | StoredBytes) -> int:
        """Consume received data; return how much of it belongs to this request.

        Everything after a refusal is consumed, since it may be the rest of a body.
        """
        if self.completed:
            return 0
        if self.body_rcv is None and isinstance(data, bytes):
            consumed = self._receive_head(data)
        else:
            consumed = super().received(data)
        if self.error is None:
            return consumed
        self._end_refused()
        return len(data)

    def _end_refused(self) -> None:
        if isinstance(self.error, WaitressError):
            self.error = Refusal.from_waitress(self.error)
        else:
            self.error.path = self.path  # waitress makes one up for a head that it can't parse
        self.completed = True
        self.expect_continue = False  # or waitress asks for the body although the request is refused
        self.error.request_id = request_id(self.header(routes.REQUEST_ID))
        log_request(
            self.error.request_id,
            self.command,
            self.path,
            self.error.error.status,
            peer=self._peer,
            credential=self.credential,
        )
        self.close()  # release the upload before the response, after which the client may append again

    @property
    def waits_for_storage(self) -> bool:
        """Whether the request may wait for the storage of bytes."""
        return self._is_push or _STORAGE.fullmatch(self.path) is not None

    @property
    def is_opening(self) -> bool:
        """Whether a thread opens the upload that the body is for. Then call `end_opening`."""
        return self.upload_body is not None and self.upload_body.is_opening

    def end_opening(self) -> None:
        """Refuse the request if its upload could not be opened."""
        if self.upload_body is not None and self.upload_body.failure is not None and not self.completed:
            self.error = Refusal(self.upload_body.failure)
            self._end_refused()

    def is_waiting(self) -> bool:
        """Return whether the upload takes no bytes of the body now."""
        return self.upload_body is not None and self.upload_body.is_waiting()

    @property
    def is_unstored(self) -> bool:
        """Whether a thread has to store bytes before the response: call `store` there."""
        return self.error is None and self.upload_body is not None and self.upload_body.is_unstored

    def store(self) -> None:
        """Store the bytes that the upload has accepted. Waits."""
        if self.upload_body is not None:
            self.upload_body.store()

    # Waitress searches the head from its beginning whenever some of it arrives, and copies what has arrived at each
    # blank line before it: both take quadratic time.

    def _receive_head(self, data: bytes) -> int:
        """Search what is new for the end of the head; parse the head once it is complete."""
        before = len(self._head)
        if not before and _NO_REQUEST.match(data):
            # A TLS client would wait for an answer to its handshake, and this parser for the end of a head.
            self.error = Refusal(errors.InvalidRequest(reason="it does not begin with a method"))
            return len(data)
        self._head += data[: limits.MAX_HEADERS + 2 * MAX_BLANK_LINES]
        while self._head.startswith(b"\r\n"):
            del self._head[:2]
            before -= 2
            self._blank_lines += 1
            if self._blank_lines > MAX_BLANK_LINES:
                self.error = Refusal(errors.InvalidRequest(reason="it begins with blank lines"))
                return len(data)
        length = len(self._head)
        found = self._head.find(b"\r\n\r\n", max(0, before - 3))
        end = length if found < 0 else found + 4
        if end >= limits.MAX_HEADERS:
            self.error = Refusal(errors.HeadersTooLarge(limit=limits.MAX_HEADERS))
        elif found >= 0:
            head = bytes(self._head[:end])
            self._head.clear()
            self._parse_whole(head)
        return end - before if found >= 0 else len(data)

    def _parse_whole(self, head: bytes) -> None:
        self.headers_finished = True
        try:
            self.parse_header(head)
        except ParsingError as error:
            self.error = Refusal(errors.InvalidRequest(reason=str(error)[:200]))
        except TransferEncodingNotImplemented:
            self.error = Refusal(errors.AmbiguousFraming(reason="the only Transfer-Encoding supported is chunked"))
        self.completed = self.body_rcv is None

    def receive(self, source: int, limit: int) -> StoredBytes | None:
        """Have the upload read up to `limit` bytes from the connection; None if they do not belong to an upload."""
        body = self.body_rcv
        if self.upload_body is None or not isinstance(body, FixedStreamReceiver) or not body.remain:
            return None
        return self.upload_body.receive(source, min(body.remain, limit))

    def end_refused_upload(self) -> None:
        """End the upload if a full disk refused its bytes. Waits for locks, so the loop must not call it."""
        if self.upload_body is not None and self.upload_body.writer is not None:
            self.upload_body.writer.end_if_refused()

    def parse_header(self, head: bytes) -> None:
        """Parse the head, check it, and decide where the body goes."""
        try:
            head = simplified(head)
            self._parse(head)
            if self.body_rcv is None:
                self.expect_continue = False  # or waitress waits for a body that never comes
            check_framing(head, chunked=self.chunked)
            self._check_request_line()
            self.credential = self._guards.check_head(self.header, self.path, self._port)
            self._direct_body(self.credential)
        except errors.OpStoreError as error:
            self.error = Refusal(error)
            self.body_rcv, self.content_length = None, 0

    def _parse(self, head: bytes) -> None:
        try:
            super().parse_header(head)
        except ValueError:  # of urlsplit, or of an int of thousands of digits: waitress catches neither
            raise ParsingError("it can't be parsed") from None
        if self.chunked:
            self.body_rcv = ChunkedBody(self.body_rcv.buf)

    def header(self, name: str) -> str | None:
        """Return a header by its usual name, such as "Content-Type"."""
        value: str | None = self.headers.get(name.upper().replace("-", "_"))
        return value

    def _check_request_line(self) -> None:
        if self.version not in ("1.0", "1.1"):
            raise errors.InvalidRequest(reason="only HTTP/1.0 and HTTP/1.1 are supported")
        if _TARGET.fullmatch(self.request_uri) is None:
            raise errors.InvalidRequest(reason="its target is not a legal path")

    def _direct_body(self, credential: Credential | None) -> None:
        if self.body_rcv is None:
            return
        if credential is None:
            raise errors.InvalidRequest(reason="this request takes no body")
        upload = _UPLOAD.fullmatch(self.path)
        if self.command == "PATCH" and upload is not None:
            self._direct_into_upload(credential, upload[1])
        elif self.chunked:
            raise errors.LengthRequired
        elif self.content_length > self._max_body():
            raise errors.TooLarge(what="the body", size=self.content_length, limit=self._max_body())
        else:
            self.body_rcv.buf = RequestBuffer(self.adj.inbuf_overflow, self.body_rcv)

    @property
    def _is_push(self) -> bool:
        return self.command == "POST" and _VERSIONS.fullmatch(self.path) is not None

    def _max_body(self) -> int:
        """Return how many bytes a body may have that waitress reads."""
        content = (self.header("Content-Type") or "").partition(";")[0].strip().lower()
        return limits.MAX_FORM if self._is_push and content == routes.FORM else limits.MAX_JSON

    def _direct_into_upload(self, credential: Credential, upload: str) -> None:
        credential.require("write")
        check_content(self.header, routes.APPEND_TYPE)
        if self.query:
            raise errors.InvalidRequest(reason="this request takes no query parameters")
        offset = parse_count(self.header(routes.UPLOAD_OFFSET), routes.UPLOAD_OFFSET)
        length = None if isinstance(self.body_rcv, ChunkedBody) else self.content_length
        arguments = (upload, credential.owner, offset, length)
        writer = self._uploads.writer_at_once(*arguments)
        body = UploadBody(self.body_rcv, self._storage, writer, lambda: self._uploads.writer(*arguments))
        self.upload_body = self.body_rcv.buf = body
