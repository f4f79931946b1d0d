"""The API client, which exchanges records and bytes with the daemon over any transport."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Protocol, TypeVar, overload

import msgspec

from opstore_cli.transport import expected, problems
from opstore_cli.transport.direct_interface import DirectConnections
from opstore_cli.transport.interface import DAEMON_LOST, Body, Response, Transport
from opstore_cli.transport.response import ApiResponse
from opstore_daemon.protocol import authors, errors, limits, records, routes
from opstore_daemon.protocol.references import Selector, is_number, parse_selector
from opstore_daemon.protocol.times import AsOf, When

T = TypeVar("T")
V = TypeVar("V", bound=records.VersionRecord)


class Page(Protocol):
    """One page of a list."""

    @property
    def rows(self) -> Sequence[object]: ...
    @property
    def next_cursor(self) -> str | None: ...


P = TypeVar("P", bound=Page)

MAX_RESPONSE = 256 * 1024 * 1024  # bytes of a JSON response: 1000 versions with their messages are less
DIRECT_PAUSE = 300.0  # seconds; or each of many pulls would wait until its connection times out
MAX_DIRECT = 64 * 1024  # bytes of a record that says where bytes are
MAX_LIST = MAX_RESPONSE  # bytes of all pages of a list, which are held in memory together
MAX_PAGES = 10_000
CUT_TRIES = 3  # how often a request is sent whose response is cut off after its headers; others: transport.adapter
BOUNDARY = "opstore-7c0e9a1b5d3f42868a6b"  # between the parts of a form, unless one of them contains it
_ACCEPT = {"Accept": f"{routes.JSON}, {routes.PROBLEM}"}
NO_DAEMON = "the server is not an opstore daemon"


class ApiClient:
    """Sends requests over a transport and returns records and bytes.

    Each method raises the errors that the daemon responds with, those of the family `Unreachable`, and
    UnexpectedResponse for a response that does not fit the request.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        # Opens connections to a URL past the daemon, if the transport can do that. Raises DirectFailed.
        self.direct: Callable[[str], DirectConnections] | None = None
        self._direct_from = 0.0  # the time.monotonic() from which it is used

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
        """Send a request and return the record of the response; None if `kind` is None.

        `data`: bytes to send with the body, as a multipart form. Every request except a GET has an idempotency key
        and names the author.
        """
        headers = self._headers(method)
        encoded = None if body is None else records.encode(body)
        if encoded is not None:
            headers["Content-Type"] = routes.JSON
            if data is not None:
                encoded, headers["Content-Type"] = _form(encoded, data)

        def read(response: ApiResponse) -> T | None:
            if kind is None:
                if response.status != HTTPStatus.NO_CONTENT:
                    raise self.unexpected(f"the status {response.status}", f"{method} {path}")
                return None
            return self._record(response, kind, f"{method} {path}")

        return self._read(read, method, path, headers, encoded, parameters)

    def _headers(self, method: str) -> dict[str, str]:
        """Return the headers of a request: one that changes something has an idempotency key, and names the author."""
        headers = {**_ACCEPT}
        if method != "GET":
            headers[routes.IDEMPOTENCY_KEY] = uuid.uuid4().hex
            author = self.transport.author
            if author is not None:
                headers[routes.AUTHOR] = authors.to_header(author)
        return headers

    def get_if_changed(
        self, path: str, kind: type[T], parameters: Mapping[str, Any], etag: str | None
    ) -> tuple[T | None, str | None]:
        """Return the record and its etag; the record is None if it still has the etag `etag`."""
        headers = {**_ACCEPT}
        if etag is not None:
            headers["If-None-Match"] = etag

        def read(response: ApiResponse) -> tuple[T | None, str | None]:
            if response.status == HTTPStatus.NOT_MODIFIED:
                return None, etag
            return self._record(response, kind, f"GET {path}"), response.etag

        return self._read(read, "GET", path, headers, parameters=parameters)

    def pages(
        self, path: str, kind: type[P], parameters: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Iterator[P]:
        """Yield the pages of a list, until it ends or has `limit` rows. Raises InvalidRequest if `limit` is below 1.

        Each row has to come after the one before, in the order of the list: a server can't repeat a page.
        """
        if limit is not None and limit < 1:
            raise errors.InvalidRequest(reason="the limit must be at least 1")
        left, size, cursor = limit, 0, None
        last: expected.Place = ()

        def read(response: ApiResponse) -> tuple[P, int]:
            page = self._record(response, kind, f"GET {path}", min(MAX_RESPONSE, MAX_LIST - size))
            return page, response.size

        for _ in range(MAX_PAGES):
            rows = limits.MAX_LIMIT if left is None else min(left, limits.MAX_LIMIT)
            query = {**(parameters or {}), "limit": rows, "cursor": cursor}
            page, received = self._read(read, "GET", path, _ACCEPT, parameters=query)
            size += received
            last = self._check_rows(page, rows, last, path)
            yield page
            left = None if left is None else left - len(page.rows)
            if page.next_cursor is None or left == 0:
                return
            if not page.rows:
                raise self.unexpected("an empty page that is not the last", f"GET {path}")
            cursor = page.next_cursor
        raise self.unexpected(f"more than {MAX_PAGES} pages", f"GET {path}")

    def _check_rows(self, page: Page, limit: int, last: expected.Place, path: str) -> expected.Place:
        """Return the place of the last row, or `last` if there is none; raise UnexpectedResponse for other rows."""
        if len(page.rows) > limit:
            raise self.unexpected(f"{len(page.rows)} rows", f"at most {limit} of GET {path}")
        for row in page.rows:
            before, last = last, expected.place(row)
            if last <= before:
                raise self.unexpected("rows out of order, or twice", f"GET {path}")
        return last

    def append(self, upload: str, offset: int, body: "bytes | Body") -> records.Upload:
        """Append the body to an upload at `offset`, in bytes.

        It is sent only once. After a failure, get the upload's offset before you append again.
        """
        headers = {routes.UPLOAD_OFFSET: str(offset), "Content-Type": routes.APPEND_TYPE}
        with self._exchange("PATCH", routes.path(routes.UPLOAD, upload=upload), headers, body) as response:
            record = self._record(response, records.Upload, "an append")
        return self.expect(record, expected.is_upload(record, None, upload), f"an append to the upload {upload}")

    @property
    def may_be_direct(self) -> bool:
        """Whether to ask the daemon where bytes are: the transport gets them, and did not fail to a short time ago."""
        return self.direct is not None and time.monotonic() >= self._direct_from

    def pause_direct(self) -> None:
        """Get bytes from the daemon alone for some minutes: the object store can't be reached from here."""
        self._direct_from = time.monotonic() + DIRECT_PAUSE

    @contextmanager
    def fetch(
        self,
        path: str,
        first: int,
        etag: str | None = None,
        *,
        part: bool = False,
        end: int | None = None,
        direct: bool = False,
    ) -> Iterator[ApiResponse]:
        """GET the bytes from offset `first` to before `end` (If-Range: `etag`). A response of status 200 has all bytes.

        `part`: send Range even for offset 0, so that the daemon does not verify the bytes. `direct`: the response may
        say where the bytes are instead (`direct_bytes`).
        """
        accepted = (routes.DIRECT_TYPE,) if direct else ()
        headers = {"Accept": ", ".join((*accepted, routes.BYTES_TYPE, routes.PROBLEM))}
        if first > 0 or part:
            headers["Range"] = f"bytes={first}-" if end is None else f"bytes={first}-{end - 1}"
            if etag is not None:
                headers["If-Range"] = etag
        with self._exchange("GET", path, headers) as response:
            if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise self.unexpected(f"the status {response.status}", f"GET {path}")
            if response.content_type == routes.DIRECT_TYPE and not direct:
                raise self.unexpected("where the bytes are", f"GET {path}")
            yield response

    def direct_bytes(self, response: ApiResponse, version: records.VersionRecord) -> records.DirectBytes | None:
        """Return where the bytes of the version are, if the response to `fetch` says that. Raises UnexpectedResponse.

        The URL, which is a credential, is in no error.
        """
        if response.content_type != routes.DIRECT_TYPE:
            return None
        try:
            found = records.decoder(records.DirectBytes).decode(response.read(MAX_DIRECT))
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise self.unexpected(f"something else ({str(error)[:200]})", f"the place of {version}") from None
        if (found.digest, found.size) != (version.digest, version.size):
            raise self.unexpected(f"the place of {found.digest} ({found.size} bytes)", _describe(version))
        return found

    def text(self, path: str, limit: int) -> str:
        """GET a text of at most `limit` bytes of UTF-8."""

        def read(response: ApiResponse) -> str:
            try:
                if response.status != HTTPStatus.OK or response.content_type != routes.TEXT:
                    raise ValueError(f"the status {response.status} and {response.content_type[:100] or 'no'} content")
                return response.read(limit).decode()
            except ValueError as error:  # also of bytes that are no UTF-8
                raise self.unexpected(f"something else ({str(error)[:200]})", f"GET {path}") from None

        return self._read(read, "GET", path, {"Accept": f"{routes.TEXT}, {routes.PROBLEM}"})

    @contextmanager
    def start(self, path: str, kind: type[T], parameters: Mapping[str, Any]) -> Iterator[Callable[[], T]]:
        """Start a GET; the returned function waits for its record. The daemon works on it in the meantime."""
        with self._exchange("GET", path, _ACCEPT, parameters=parameters) as response:
            yield lambda: self._record(response, kind, f"GET {path}")

    def watched(
        self,
        method: str,
        path: str,
        kind: type[T],
        parameters: Mapping[str, Any],
        notify: Callable[[int], object],
    ) -> T:
        """Send a request whose response shows its progress, and return its record.

        `notify` is called with the number of line breaks that have come before the record.
        """
        with self._exchange(method, path, self._headers(method), parameters=parameters) as response:
            response.skip_blanks(notify)
            return self._record(response, kind, f"{method} {path}")

    def version(self, op: str, selector: str, as_of: When | None = None) -> records.VersionRecord:
        """Return the record of the version that `selector` selects, and warn if it is yanked."""
        path = routes.path(routes.VERSION, op=op, selector=selector)
        record = self.request("GET", path, records.VersionRecord, parameters={"as_of": as_of})
        return self.with_warning(self.check(record, op, parse_selector(selector)))

    def record_from_headers(self, response: ApiResponse, op: str, selector: str) -> records.VersionRecord:
        """Return the record of the version whose bytes the response has, and warn if it is yanked.

        The record is requested if it does not fit into the headers.
        """
        try:
            record = records.decoder(records.VersionRecord).decode(response.header(routes.SERVED_RECORD))
        except (msgspec.DecodeError, RecursionError):
            number = response.header(routes.SERVED_VERSION)
            if number and not is_number(number):
                raise self.unexpected(repr(number[:100]), f"{op}@{selector}") from None
            return self.check(self.version(op, number or selector), op, parse_selector(selector))
        return self.with_warning(self.check(record, op, parse_selector(selector)))

    def check(self, record: V, op: str, selector: Selector | None = None) -> V:
        """Return the record if it belongs to the op and the selector can select it. Raises UnexpectedResponse."""
        if not expected.is_version(record, op, selector):
            raise self.unexpected(_describe(record), op if selector is None else f"{op}@{selector}")
        return record

    def check_same(self, record: records.VersionRecord, expected: records.VersionRecord) -> None:
        """Raise UnexpectedResponse unless both are the same version, with the same bytes."""
        if _identity(record) != _identity(expected):
            raise self.unexpected(_describe(record), _describe(expected))

    def check_pushed(self, pushed: records.Pushed, op: str, declared: records.NewVersion) -> records.Pushed:
        """Return the record if it is what was pushed. Raises UnexpectedResponse."""
        if not expected.is_pushed(pushed, op, declared):
            digest, size = declared.digest or "any digest", declared.size
            raise self.unexpected(_describe(pushed), f"{op} ({digest}, {size} bytes)")
        return pushed

    def expect(self, record: T, fits: bool, request: str) -> T:
        """Return the record if it fits the request, which is described in words. Raises UnexpectedResponse."""
        if not fits:
            raise self.unexpected(records.encode(record)[:300].decode(errors="replace"), request)
        return record

    def unexpected(self, actual: str, expected: str) -> errors.UnexpectedResponse:
        """Return the error for a response that does not fit the request."""
        return errors.UnexpectedResponse(url=self.transport.address, actual=actual, expected=expected)

    def with_warning(self, record: records.VersionRecord) -> records.VersionRecord:
        """Return the record, and warn if the version is yanked."""
        if record.yank_reason is not None:
            self.transport.warn(records.PickedYanked(op=record.op, version=record.version, reason=record.yank_reason))
        return record

    def _read(
        self,
        read: Callable[[ApiResponse], T],
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> T:
        """Send a repeatable request, and again if its response is cut off; return what `read` makes of the response.

        The transport repeats a request without a response; here the headers of one have arrived.
        """
        for tries_left in reversed(range(CUT_TRIES)):
            raw = self.transport.request(method, path, headers=headers, parameters=parameters or {}, body=body)
            try:
                with self._checked(raw, headers, parameters) as response:
                    return read(response)
            except errors.ConnectionLost:
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: "bytes | Body | None" = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Iterator[ApiResponse]:
        """Send a request and yield the response, unless it is an error, which is raised."""
        raw = self.transport.request(method, path, headers=headers, parameters=parameters or {}, body=body)
        with self._checked(raw, headers, parameters) as response:
            yield response

    @contextmanager
    def _checked(
        self, raw: Response, headers: Mapping[str, str], parameters: Mapping[str, Any] | None
    ) -> Iterator[ApiResponse]:
        """Yield the response and close it, unless it is an error, which is raised."""
        with closing(raw):
            response = ApiResponse(raw)
            not_modified = response.status == HTTPStatus.NOT_MODIFIED and "If-None-Match" in headers
            if response.status >= HTTPStatus.MULTIPLE_CHOICES and not not_modified:
                raise _with_words(self._to_error(response), (parameters or {}).get("as_of"))
            yield response

    def _to_error(self, response: ApiResponse) -> errors.OpStoreError:
        if response.status < HTTPStatus.BAD_REQUEST:
            return self._unreachable("it responds with a redirect, which is not followed")
        reason = DAEMON_LOST if response.status in routes.WITHOUT_DAEMON else NO_DAEMON
        return problems.read(response) or self._unreachable(f"{reason} (HTTP {response.status})")

    def _record(self, response: ApiResponse, kind: type[T], request: str, limit: int | None = None) -> T:
        """Return the record of the response. Raises UnexpectedResponse if the body is anything else."""
        if response.content_type != routes.JSON:
            raise self._unreachable(f"{NO_DAEMON} (HTTP {response.status})")
        try:
            if response.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
                raise ValueError(f"the status {response.status}")
            record = records.decoder(kind).decode(response.read(MAX_RESPONSE if limit is None else limit))
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise self.unexpected(f"something else ({str(error)[:200]})", request) from None
        for picked in getattr(record, "picked_yanked", ()):
            self.transport.warn(picked)
        return record

    def _unreachable(self, reason: str) -> errors.DaemonUnreachable:
        return errors.DaemonUnreachable(url=self.transport.address, reason=reason)


def _with_words(error: errors.OpStoreError, as_of: object) -> errors.OpStoreError:
    """Return the error with what the person wrote behind the time that it names."""
    if isinstance(as_of, AsOf) and as_of.words:
        return error.with_text(error.text.replace(as_of.shown, as_of.with_words))
    return error


def _identity(record: records.VersionRecord) -> tuple[str, str, str, str | None, int | None]:
    return record.op, record.version, record.subversions, record.digest, record.size


def _describe(record: records.VersionRecord) -> str:
    return f"{record.op[:130]}@{record.version[:40]} ({str(record.digest)[:80]}, {record.size} bytes)"


def _form(record: bytes, data: bytes) -> tuple[bytes, str]:
    """Return both as a multipart form (RFC 7578), and its content type."""
    from urllib3 import encode_multipart_formdata

    parts = {"version": ("version", record, routes.JSON), "bytes": ("bytes", data, routes.BYTES_TYPE)}
    # A constant boundary: the parser compiles a pattern of it, which takes longer than the rest of a small push, and
    # caches that pattern.
    boundary = BOUNDARY if BOUNDARY.encode() not in data + record else None
    return encode_multipart_formdata(parts, boundary=boundary)
