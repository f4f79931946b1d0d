"""The work for a received byte is constant, whatever the bytes are."""

from typing import Any

import pytest
import waitress.parser
import werkzeug.http
from hypothesis import given
from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from werkzeug.datastructures import ETags
from werkzeug.http import parse_etags

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.chunks import ChunkedBody
from opstore_daemon.http_server.framing import MAX_LINES, simplified
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.http_server.parser import MAX_BLANK_LINES, READ, RequestParser
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store.ingest.writer import Writer
from opstore_daemon.store.page_sessions import fingerprint
from opstore_daemon.web.guards import Credential, session_cookie
from tests.daemon.http.test_uploads import begin, offset_of
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch

GET = head("GET", routes.OPS, host="127.0.0.1:1")


class Counting(bytearray):
    """A bytearray that counts the bytes that are searched and moved."""

    work = 0

    def find(self, part: Any, start: Any = 0, *end: Any) -> int:
        Counting.work += len(self) - start
        return super().find(part, start, *end)


@pytest.fixture
def parser(server: OpStoreServer) -> RequestParser:
    return RequestParser(Adjustments(), server.guards, server.store.uploads, 1)


def test_a_head_is_searched_once_however_it_arrives(parser: RequestParser) -> None:
    parser._head = Counting()
    Counting.work = 0
    whole = head("GET", routes.OPS, f"X-A: {'a' * 30_000}", host="127.0.0.1:1")
    for position in range(len(whole)):
        assert not parser.completed
        assert parser.received(whole[position : position + 1]) == 1
    assert (parser.completed, parser.error) == (True, None)
    assert Counting.work <= 4 * len(whole)


@pytest.mark.parametrize("blank", range(MAX_BLANK_LINES + 1))
def test_a_head_ends_where_it_ends(parser: RequestParser, blank: int) -> None:
    whole = b"\r\n" * blank + GET
    for cut in range(len(whole)):
        fresh = RequestParser(parser.adj, parser._guards, parser._uploads, 1)
        assert fresh.received(whole[:cut]) == cut
        assert fresh.received(whole[cut:] + GET) == len(whole) - cut
        assert (fresh.completed, fresh.error, fresh.path) == (True, None, routes.OPS)


def test_a_few_blank_lines_before_a_request_are_skipped_and_more_close_the_connection(
    listener: Listener, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[RequestParser] = []
    create = RequestParser.__init__

    def recorded(parser: RequestParser, *arguments: Any, **options: Any) -> None:
        made.append(parser)
        create(parser, *arguments, **options)

    monkeypatch.setattr(RequestParser, "__init__", recorded)
    with Raw(listener.port) as connection:
        for _ in range(2):
            connection.send(b"\r\n" * MAX_BLANK_LINES)
            assert connection.ask("GET", routes.OPS).status == 200
        made.clear()
        connection.send(b"\r\n" * (1 << 19))
        watch.assert_problem(connection.answer(), 400, "InvalidRequest", unchanged=False)
        assert connection.is_closed()
    assert len(made) == 1


@pytest.mark.parametrize("rest", [b"", b"x" * (limits.MAX_HEADERS + 100)])
@pytest.mark.parametrize("size", [limits.MAX_HEADERS - 9, limits.MAX_HEADERS - 1])
def test_a_head_is_too_large_at_the_same_size_behind_blank_lines(parser: RequestParser, size: int, rest: bytes) -> None:
    whole = GET[:-4] + b"\r\nX: "
    whole += b"a" * (size - len(whole) - 4) + b"\r\n\r\n"
    blank = b"\r\n" * MAX_BLANK_LINES
    assert parser.received(blank + whole + rest) == len(blank + whole)
    assert parser.error is None
    other = RequestParser(parser.adj, parser._guards, parser._uploads, 1)
    other.received(blank + whole[:-4] + b"a" * (limits.MAX_HEADERS - size) + b"\r\n\r\n" + rest)
    assert other.error is not None
    assert isinstance(other.error.error, errors.HeadersTooLarge)


LINES = {
    "digits behind a scheme": b"GET a://" + b"1" * 30_000 + b" x",
    "no version": b"GET " + b"a" * 30_000 + b" HTTP/",
    "blanks": b"GET" + b" " * 30_000,
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_waitress_sees_no_request_line_on_which_its_pattern_backtracks(
    listener: Listener, watch: Watch, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    def never(_line: bytes) -> Any:
        raise AssertionError

    monkeypatch.setattr(waitress.parser, "crack_first_line", never)
    with Raw(listener.port) as connection:
        connection.send(line + b"\r\nHost: a\r\n\r\n")
        watch_answer = connection.answer()
    monkeypatch.undo()
    watch.assert_problem(watch_answer, 400, "InvalidRequest")


BLANKS = " " * 30_000


@pytest.mark.parametrize("value", [f"{BLANKS}x", BLANKS, f" x{BLANKS}", f"{BLANKS}\0", f"\t{BLANKS}\x7f"])
def test_waitress_sees_no_blanks_around_a_value(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    seen: list[bytes] = []
    pattern = waitress.parser.HEADER_FIELD_RE

    class Recorded:
        def match(self, line: bytes) -> Any:
            seen.append(line)
            return pattern.match(line)

    monkeypatch.setattr(waitress.parser, "HEADER_FIELD_RE", Recorded())
    with Raw(listener.port) as connection:
        connection.send(head("GET", routes.OPS, f"A:{value}", host=connection.host))
        assert connection.answer().status in (200, 400)
    assert max(map(len, seen)) < 100


@given(name=st.from_regex(r"[A-Za-z-]{1,8}", fullmatch=True), value=st.text("ab\t ", max_size=8))
def test_a_simplified_head_has_the_same_headers(name: str, value: str) -> None:
    whole = f"GET / HTTP/1.1\r\n{name}:{value}\r\n\r\n".encode()
    lines = simplified(whole).split(b"\r\n")
    assert lines == [b"GET / HTTP/1.1", f"{name}:{value.strip()}".encode(), b"", b""]


def test_too_many_headers_are_refused(listener: Listener, watch: Watch) -> None:
    with Raw(listener.port) as connection:
        fields = [f"X-{number}: a" for number in range(MAX_LINES)]
        connection.send(head("GET", routes.OPS, *fields, host=connection.host))
        watch.assert_problem(connection.answer(), 400, "InvalidRequest")


class Buffer(list[bytes]):
    """A list of what is appended."""


@given(
    sizes=st.lists(st.integers(1, 20), max_size=10),
    cuts=st.lists(st.integers(1, 9), min_size=1),
    extension=st.sampled_from([b"", b";a", b" ; a=b", b';a="x y"']),
    trailer=st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"]),
)
def test_chunks_are_read_however_they_arrive(
    sizes: list[int], cuts: list[int], extension: bytes, trailer: bytes
) -> None:
    content = [bytes([65 + number % 26]) * size for number, size in enumerate(sizes)]
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in content) + b"0\r\n" + trailer + b"\r\n"
    received = ChunkedBody(buffer := Buffer())
    position = number = 0
    while position < len(body):
        piece = body[position : position + cuts[number % len(cuts)]]
        assert not received.completed
        behind = b"GET /" if position + len(piece) == len(body) else b""
        assert received.received(piece + behind) == len(piece)
        position, number = position + len(piece), number + 1
    assert (received.completed, received.error) == (True, None)
    assert b"".join(buffer) == b"".join(content)


def test_small_chunks_that_arrive_together_are_stored_together(
    http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = Writer.append

    def recorded(writer: Writer, data: bytes) -> None:
        appended.append(len(data))
        append(writer, data)

    monkeypatch.setattr(Writer, "append", recorded)
    upload = http.upload()
    count = READ
    with Raw(listener.port) as connection:
        begin(connection, upload, 0, None)
        connection.send(b"1\r\nx\r\n" * count + b"0\r\n\r\n")
        assert connection.answer().status == 200
    assert offset_of(http, upload) == sum(appended) == count
    assert len(appended) < count / 100
    assert max(appended) <= READ / 6 + 1, "one turn of the loop reads few of them"


@pytest.mark.parametrize("beginning", [b"1;", b"0\r\nX: "])
def test_a_line_between_chunks_is_searched_once(beginning: bytes) -> None:
    received = ChunkedBody(Buffer())
    received.received(beginning)
    for _ in range(limits.MAX_HEADERS + 1):
        received.received(b"a")
    assert received.error is not None
    assert isinstance(received.error.error, errors.HeadersTooLarge)


@pytest.mark.parametrize(
    "chunk",
    [b"\r\n", b"1\n", b"0x1\r\n", b"1" * 17 + b"\r\n", b"1;\0\r\n", b"1\r\nab", b"1\r\na\n", b";a\r\n", b"1 1\r\n"],
)
def test_an_invalid_chunk_is_refused_and_its_bytes_are_not_kept(chunk: bytes) -> None:
    received = ChunkedBody(buffer := Buffer())
    received.received(chunk + b"\r\n0\r\n\r\n")
    assert received.error is not None
    assert buffer == []


def test_what_follows_a_refused_head_belongs_to_it(parser: RequestParser) -> None:
    bad = head("POST", routes.LINKS, "Content-Length: 1", "Transfer-Encoding: chunked", host="127.0.0.1:1")
    assert parser.received(bad + GET) == len(bad + GET)
    assert parser.completed
    assert isinstance(parser.error.error, errors.AmbiguousFraming)


def test_what_can_not_become_a_request_is_refused_at_its_first_byte(parser: RequestParser) -> None:
    assert parser.received(b"\x16\x03\x01\x02") == 4
    assert parser.completed
    assert isinstance(parser.error.error, errors.InvalidRequest)


def test_a_long_list_of_etags_is_not_parsed(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = http.push("up", b"bytes")["digest"]
    parsed: list[int] = []

    def note(value: str | None) -> ETags:
        parsed.append(len(value or ""))
        return parse_etags(value)

    monkeypatch.setattr("werkzeug.sansio.request.parse_etags", note)
    for others, status in ((10, 304), (3000, 200)):
        etags = ", ".join(['"other"'] * others + [f'"{etag}"'])
        assert http.pull("up", headers={"If-None-Match": etags}).status_code == status
    assert len(parsed) == 1


def test_the_session_is_found_among_many_cookies_without_parsing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(werkzeug.http, "parse_cookie", None)
    name, token = session_cookie("127.0.0.1:8000"), "token-of-16-digits"
    owner = fingerprint(token)[:32]
    server = OpStoreServer(MemorySaver(), token=token)
    guards = server.guards
    secret = guards.sessions.start(guards.sessions.invite(owner))
    others = "; ".join(f"a{number}=b" for number in range(2000))
    for cookies in (f"{name}={secret}", f"{others}; {name}={secret}; {others}"):
        headers = {"Host": "127.0.0.1:8000", "Cookie": cookies}
        assert guards.check(headers.get, routes.HOME, 8000) == Credential(owner, "read")
    for wrong in (f"x{name}={secret}", f"a={name}={secret}", others, "", f"{name}"):
        headers = {"Host": "127.0.0.1:8000", "Cookie": wrong}
        with pytest.raises(errors.SessionRequired):
            guards.check(headers.get, routes.HOME, 8000)
