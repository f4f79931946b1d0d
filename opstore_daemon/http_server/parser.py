"""The request parser: checks the head before the body is read, and directs the body of an append into its upload.

Waitress reads a whole body before the application authenticates the client, and copies a large one into a temporary
file. It also hides Transfer-Encoding from WSGI by turning it into a Content-Length. This subclass of its parser checks
framing, Host, token and sizes at the head, and the body of an append goes into its upload as it arrives. Flask checks
all of it again except framing, for other servers; behind those, the application reads the body of an append from the
WSGI stream.
"""

import re
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.utilities import Error as WaitressError

from opstore_daemon.http_server.framing import check_framing
from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.http_server.request_buffer import RequestBuffer
from opstore_daemon.http_server.upload_body import StoredBytes, UploadBody
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.web.app import log_request, request_id
from opstore_daemon.web.guards import Credential, Guards
from opstore_daemon.web.request_values import check_content, parse_count

_UPLOAD = re.compile(re.escape(routes.UPLOAD).replace("<upload>", "([0-9a-f]{32})"))
_VERSIONS = re.compile(re.escape(routes.VERSIONS).replace("<op>", "[^/]+"))
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

    def __init__(self, adj: Any, guards: Guards, uploads: Uploads, port: int) -> None:
        super().__init__(adj)
        self._guards, self._uploads, self._port = guards, uploads, port

    def received(self, data: bytes | StoredBytes) -> int:
        """Consume received data; return how much of it belongs to this request.

        Everything after a refusal is consumed, since it may be the rest of a body.
        """
        if self.header_bytes_received == 0 and isinstance(data, bytes) and _NO_REQUEST.match(data):
            # A TLS client would wait for an answer to its handshake, and this parser for the end of a head.
            self.error, self.completed = Refusal(errors.InvalidRequest(reason="it does not begin with a method")), True
            consumed = len(data)
        else:
            consumed = super().received(data)
        if self.chunked and self.body_rcv is not None and self.error is None:
            self._bound_lines(self.body_rcv)
        if self.error is None:
            return consumed
        if isinstance(self.error, WaitressError):
            self.error = Refusal.from_waitress(self.error)
        else:
            self.error.path = self.path  # waitress makes one up for a head that it can't parse
        self.expect_continue = False  # or waitress asks for the body although the request is refused
        self.error.request_id = request_id(self.header(routes.REQUEST_ID))
        log_request(self.error.request_id, self.command, self.path, self.error.error.status)
        self.close()  # release the upload before the response, after which the client may append again
        return len(data)

    def _bound_lines(self, chunks: ChunkedReceiver) -> None:
        # Waitress keeps an unfinished line between chunks, and the trailer, however long they grow.
        if len(chunks.control_line) + len(chunks.trailer) > limits.MAX_HEADERS:
            self.error, self.completed = Refusal(errors.HeadersTooLarge(limit=limits.MAX_HEADERS)), True

    def receive(self, source: int) -> StoredBytes | None:
        """Have the upload read the next bytes from the connection; None if they do not belong to an upload."""
        body = self.body_rcv
        if self.upload_body is None or not isinstance(body, FixedStreamReceiver) or not body.remain:
            return None
        return self.upload_body.receive(source, body.remain)

    def end_refused_upload(self) -> None:
        """End the upload if a full disk refused its bytes. Waits for locks, so the loop must not call it."""
        if self.upload_body is not None:
            self.upload_body.writer.end_if_refused()

    def parse_header(self, head: bytes) -> None:
        """Parse the head, check it, and decide where the body goes."""
        try:
            super().parse_header(head)
        except ValueError:  # of urlsplit, or of an int of thousands of digits: waitress catches neither
            raise ParsingError("it can't be parsed") from None
        if self.body_rcv is None:
            self.expect_continue = False  # or waitress waits for a body that never comes
        try:
            check_framing(head, chunked=self.chunked)
            self._check_request_line()
            credential = self._guards.check(self.header, self.path, self._port)
            self._direct_body(credential)
        except errors.OpStoreError as error:
            self.error = Refusal(error)
            self.body_rcv, self.content_length = None, 0

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

    def _max_body(self) -> int:
        """Return how many bytes a body may have that waitress reads."""
        is_push = self.command == "POST" and _VERSIONS.fullmatch(self.path) is not None
        content = (self.header("Content-Type") or "").partition(";")[0].strip().lower()
        return limits.MAX_FORM if is_push and content == routes.FORM else limits.MAX_JSON

    def _direct_into_upload(self, credential: Credential, upload: str) -> None:
        credential.require("write")
        check_content(self.header, routes.APPEND_TYPE)
        if self.query:
            raise errors.InvalidRequest(reason="this request takes no query parameters")
        offset = parse_count(self.header(routes.UPLOAD_OFFSET), routes.UPLOAD_OFFSET)
        length = None if isinstance(self.body_rcv, ChunkedReceiver) else self.content_length
        writer = self._uploads.writer(upload, credential.owner, offset, length)
        self.upload_body = self.body_rcv.buf = UploadBody(writer, self.body_rcv)
