"""How the daemon is asked: the headers, keys and records of a request, over whatever carries it."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Protocol, TypeVar, overload

import msgspec

from opstore_cli.transport.interface import Body, Response, Transport
from opstore_daemon.protocol import errors, limits, records, routes
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.references import DigestPrefix, Line, Range, Selector, is_number, parse_selector
from opstore_daemon.protocol.versions import Version, VersionNumber

T = TypeVar("T")
V = TypeVar("V", bound=records.VersionRecord)


class Page(Protocol):
    """One page of a list."""

    @property
    def next_cursor(self) -> str | None: ...


P = TypeVar("P", bound=Page)

MAX_ANSWER = 256 * 1024 * 1024  # bytes of a JSON answer: 1000 versions with their messages are less
MAX_PROBLEM = 1024 * 1024  # bytes of an error that are read
BOUNDARY = "opstore-7c0e9a1b5d3f42868a6b"  # between the parts of a form, unless it stands in one of them
_ACCEPT = {"Accept": f"{routes.JSON}, {routes.PROBLEM}"}
NO_DAEMON = "what answers there is no opstore daemon"


class ApiResponse:
    """A successful answer whose body is read by whoever asked."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        """The header, or an empty text."""
        return str(self._response.headers.get(name, ""))

    def close(self) -> None:
        """No more of it is wanted."""
        self._response.close()

    def read(self, limit: int) -> bytes:
        """The whole body; raises ValueError where it is longer than the limit, and ConnectionLost."""
        pieces, left = [], limit + 1
        while left and (piece := self._response.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if not left:
            raise ValueError("the answer is too long")
        return b"".join(pieces)

    def pieces(self, buffers: Iterator[memoryview] | None = None) -> Iterator[bytes | memoryview]:
        """The body in pieces of up to READ_SIZE, as it comes; raises ConnectionLost where it ends too early.

        Each piece is the beginning of the next of the buffers, where there are any and the transport can do so.
        """
        into = getattr(self._response, "readinto", None)
        if buffers is None or into is None:
            while piece := self._response.read(READ_SIZE):
                yield piece
        else:
            while count := into(buffer := next(buffers)):
                yield buffer[:count]


class ApiClient:
    """Requests of records and bytes, over a transport."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @overload
    def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: records.Request | None = None,
        data: bytes | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> T: ...
    @overload
    def request(self, method: str, path: str, kind: None) -> None: ...
    def request(
        self,
        method: str,
        path: str,
        kind: type[T] | None,
        *,
        body: records.Request | None = None,
        data: bytes | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> T | None:
        """The record that answers; `data` are bytes that go along with a body.

        What is no GET has a key of its own, so that a retry has the effect of one.
        """
        headers = {**_ACCEPT}
        if method != "GET":
            headers[routes.IDEMPOTENCY_KEY] = uuid.uuid4().hex
        encoded = None if body is None else records.encode(body)
        if encoded is not None:
            headers["Content-Type"] = routes.JSON
            if data is not None:
                encoded, headers["Content-Type"] = _form(encoded, data)
        with self._exchange(method, path, headers, encoded, parameters or {}) as answer:
            return None if kind is None else self._record(answer, kind)

    def get_if_changed(
        self, path: str, kind: type[T], parameters: Mapping[str, Any], etag: str | None
    ) -> tuple[T | None, str]:
        """The record and its etag; None where it is still what that etag says, which costs the daemon little."""
        headers = {"Accept": f"{routes.JSON}, {routes.PROBLEM}"}
        if etag is not None:
            headers["If-None-Match"] = etag
        with self._exchange("GET", path, headers, parameters=parameters) as answer:
            record = None if answer.status == HTTPStatus.NOT_MODIFIED else self._record(answer, kind)
            return record, answer.header("ETag")

    def pages(
        self, path: str, kind: type[P], parameters: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Iterator[P]:
        """The pages of a list, until it ends or `limit` rows were asked for."""
        if limit is not None and limit < 1:
            raise errors.InvalidRequest(reason="the limit is at least 1")
        left, cursor = limit, None
        while True:
            rows = limits.MAX_LIMIT if left is None else min(left, limits.MAX_LIMIT)
            asked = {**(parameters or {}), "limit": rows, "cursor": cursor}
            page = self.request("GET", path, kind, parameters=asked)
            yield page
            left = None if left is None else left - rows
            if page.next_cursor is None or left == 0:
                return
            if page.next_cursor == cursor:
                raise errors.DaemonUnreachable(url=self.transport.address, reason="its list does not end")
            cursor = page.next_cursor

    def append(self, upload: str, offset: int, body: "bytes | Body") -> records.Upload:
        """Appends the body to an upload.

        Sent once: after a failure the offset has to be asked for before anything else is appended.
        """
        headers = {routes.UPLOAD_OFFSET: str(offset), "Content-Type": routes.APPEND_TYPE}
        with self._exchange("PATCH", routes.path(routes.UPLOAD, upload=upload), headers, body) as answer:
            return self._record(answer, records.Upload)

    @contextmanager
    def fetch(self, path: str, first: int, etag: str | None = None, *, part: bool = False) -> Iterator[ApiResponse]:
        """The answer that brings the bytes from `first` on (of what has the etag, where there is one), or all (200).

        `part`: also all of it is asked for as a part, of which the daemon checks nothing.
        """
        headers = {"Accept": f"{routes.BYTES_TYPE}, {routes.PROBLEM}"}
        if first > 0 or part:
            headers["Range"] = f"bytes={first}-"
            if etag is not None:
                headers["If-Range"] = etag
        with self._exchange("GET", path, headers) as answer:
            yield answer

    @contextmanager
    def start(self, path: str, kind: type[T], parameters: Mapping[str, Any]) -> Iterator[Callable[[], T]]:
        """What waits for the record that answers a GET whose answer has begun: the daemon works on it meanwhile."""
        with self._exchange("GET", path, _ACCEPT, parameters=parameters) as answer:
            yield lambda: self._record(answer, kind)

    def version(self, op: str, selector: str, as_of: str | None = None) -> records.VersionRecord:
        """The record of a version; warns where it is yanked."""
        path = routes.path(routes.VERSION, op=op, selector=selector)
        record = self.request("GET", path, records.VersionRecord, parameters={"as_of": as_of})
        return self._warned(self.check(record, op, parse_selector(selector)))

    def record_from_headers(self, answer: ApiResponse, op: str, selector: str) -> records.VersionRecord:
        """The version whose bytes are the answer to this; asked for where the answer does not tell all of it."""
        try:
            record = records.decoder(records.VersionRecord).decode(answer.header(routes.SERVED_RECORD))
        except msgspec.DecodeError:
            number = answer.header(routes.SERVED_VERSION)
            if number and not is_number(number):
                raise self.unexpected(repr(number[:100]), f"{op}@{selector}") from None
            return self.check(self.version(op, number or selector), op, parse_selector(selector))
        return self._warned(self.check(record, op, parse_selector(selector)))

    def check(self, record: V, op: str, selector: Selector | None = None) -> V:
        """Return the record if it is of the op and the selector can have picked it; raises UnexpectedResponse.

        Paths are made of the number, so its grammar counts here, and so does that of the digest.
        """
        try:
            fits = record.op == op and (record.digest is None or bool(Digest.parse(record.digest)))
            fits = _can_pick(selector, record, VersionNumber.parse(record.version)) and fits
        except errors.Refused:
            fits = False
        if not fits:
            raise self.unexpected(_described(record), op if selector is None else f"{op}@{selector}")
        return record

    def check_same(self, record: records.VersionRecord, expected: records.VersionRecord) -> None:
        """Raise UnexpectedResponse unless both are the same version, with the same bytes."""
        if _identity(record) != _identity(expected):
            raise self.unexpected(_described(record), _described(expected))

    def check_pushed(self, pushed: records.Pushed, op: str, digest: str | None, size: int | None) -> records.Pushed:
        """Return the record if it is of the op and of the bytes that were sent; raises UnexpectedResponse."""
        self.check(pushed, op)
        if digest not in (None, pushed.digest) or size not in (None, pushed.size):
            raise self.unexpected(_described(pushed), f"{op}, {digest or 'whatever its digest'}, {size} bytes")
        return pushed

    def unexpected(self, actual: str, expected: str) -> errors.UnexpectedResponse:
        """Return the error for a response to something else than was asked for."""
        return errors.UnexpectedResponse(url=self.transport.address, actual=actual, expected=expected)

    def _warned(self, record: records.VersionRecord) -> records.VersionRecord:
        if record.yank_reason is not None:
            self.transport.warn(records.PickedYanked(op=record.op, version=record.version, reason=record.yank_reason))
        return record

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: "bytes | Body | None" = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Iterator[ApiResponse]:
        """The answer to a request, its body not yet read; raises what the daemon says if that is an error."""
        response = self.transport.request(method, path, headers=headers, parameters=parameters or {}, body=body)
        with closing(response):
            answer = ApiResponse(response)
            not_modified = answer.status == HTTPStatus.NOT_MODIFIED and "If-None-Match" in headers
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES and not not_modified:
                raise self._problem(answer)
            yield answer

    def _problem(self, answer: ApiResponse) -> errors.OpStoreError:
        if answer.status < HTTPStatus.BAD_REQUEST:
            return self._unreachable("it answers with a redirect, and none is followed")
        try:
            if answer.content_type != routes.PROBLEM:
                raise ValueError
            problem = records.decode(answer.read(MAX_PROBLEM), records.Problem)
        except (ValueError, errors.InvalidRequest):
            return self._unreachable(f"{NO_DAEMON} (HTTP {answer.status})")
        return errors.from_wire(problem.code, problem.status, problem.detail, problem.hint, problem.details)

    def _record(self, answer: ApiResponse, kind: type[T]) -> T:
        try:
            body = answer.read(MAX_ANSWER)
            if answer.content_type != routes.JSON:
                raise ValueError(answer.content_type)
            record = records.decoder(kind).decode(body)
        except (ValueError, msgspec.DecodeError, RecursionError):
            raise self._unreachable(f"{NO_DAEMON} (HTTP {answer.status})") from None
        for picked in getattr(record, "picked_yanked", ()):  # which answers have it, the records say
            self.transport.warn(picked)
        return record

    def _unreachable(self, reason: str) -> errors.DaemonUnreachable:
        return errors.DaemonUnreachable(url=self.transport.address, reason=reason)


def _can_pick(selector: Selector | None, record: records.VersionRecord, number: VersionNumber) -> bool:
    """Return whether the selector can pick the version; a tag and `latest` can pick any."""
    match selector:
        case VersionNumber():
            return number == selector
        case Line(major, minor):
            return number.major == major and minor in (None, number.minor)
        case DigestPrefix():
            return record.digest is not None and record.digest.startswith(str(selector))
        case Version():
            return Version.parse(record.subversions) == selector
        case Range(specifiers):
            from packaging.specifiers import SpecifierSet

            return SpecifierSet(specifiers).contains(str(number))
    return True


def _identity(record: records.VersionRecord) -> tuple[str, str, str, str | None, int | None]:
    return record.op, record.version, record.subversions, record.digest, record.size


def _described(record: records.VersionRecord) -> str:
    return f"{record.op[:130]}@{record.version[:40]} ({str(record.digest)[:80]}, {record.size} bytes)"


def _form(record: bytes, data: bytes) -> tuple[bytes, str]:
    """A body of both (RFC 7578), and its type."""
    from urllib3 import encode_multipart_formdata

    parts = {"version": ("version", record, routes.JSON), "bytes": ("bytes", data, routes.BYTES_TYPE)}
    # The same each time: who reads a form makes a pattern of its boundary, which takes longer than all else of a small
    # push, and keeps it.
    known = BOUNDARY if BOUNDARY.encode() not in data + record else None
    return encode_multipart_formdata(parts, boundary=known)
