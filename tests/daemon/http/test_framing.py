"""Requests with ambiguous framing are refused, and nothing after them is ever read as a request."""

import pytest

from opstore_daemon.http_server import channel
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import limits, routes
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.servers import ADMIN_TOKEN
from tests.support.waiting import wait_for

AUTH = f"Authorization: Bearer {ADMIN_TOKEN}"
JSON = f"Content-Type: {routes.JSON}"


def smuggled(host: str, name: str = "smuggled") -> bytes:
    """Return a complete request that registers an op: the op exists if it was read as a request."""
    body = b'{"fields":{"major":{"a":"1"}}}'
    return head("POST", f"/v1/ops/{name}/versions", JSON, f"Content-Length: {len(body)}", host=host) + body


FRAMINGS: dict[str, tuple[list[str], int, str]] = {
    "length and chunked": (["Content-Length: 4", "Transfer-Encoding: chunked"], 400, "AmbiguousFraming"),
    "chunked and length": (["Transfer-Encoding: chunked", "Content-Length: 4"], 400, "AmbiguousFraming"),
    "length twice": (["Content-Length: 4", "Content-Length: 4"], 400, "InvalidRequest"),
    "two lengths": (["Content-Length: 4", "content-length: 400"], 400, "InvalidRequest"),
    "chunked twice": (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400, "AmbiguousFraming"),
    "chunked, chunked": (["Transfer-Encoding: chunked, chunked"], 400, "AmbiguousFraming"),
    "gzip": (["Transfer-Encoding: gzip"], 400, "AmbiguousFraming"),
    "gzip, chunked": (["Transfer-Encoding: gzip, chunked"], 400, "AmbiguousFraming"),
    "chunked, identity": (["Transfer-Encoding: chunked, identity"], 400, "AmbiguousFraming"),
    "identity": (["Transfer-Encoding: identity"], 400, "AmbiguousFraming"),
    "xchunked": (["Transfer-Encoding: xchunked"], 400, "AmbiguousFraming"),
    "no coding": (["Transfer-Encoding: "], 400, "AmbiguousFraming"),
    "no coding and a length": (["Transfer-Encoding: ", "Content-Length: 4"], 400, "AmbiguousFraming"),
    "commas": (["Transfer-Encoding: ,chunked,"], 400, "AmbiguousFraming"),
    "a strange blank": (["Transfer-Encoding: \x0bchunked"], 400, "InvalidRequest"),
    "a line separator": (["Transfer-Encoding: \x85chunked"], 400, "AmbiguousFraming"),
    "negative": (["Content-Length: -1"], 400, "InvalidRequest"),
    "plus": (["Content-Length: +4"], 400, "InvalidRequest"),
    "hex": (["Content-Length: 0x4"], 400, "InvalidRequest"),
    "no digits": (["Content-Length: four"], 400, "InvalidRequest"),
    "nothing": (["Content-Length: "], 400, "InvalidRequest"),
    "list": (["Content-Length: 4, 4"], 400, "InvalidRequest"),
    "blank inside": (["Content-Length: 4 4"], 400, "InvalidRequest"),
    "underscores": (["Content-Length: 1_0"], 400, "InvalidRequest"),
    "superscript": (["Content-Length: \xb2"], 400, "InvalidRequest"),
    "thousands of digits": (["Content-Length: " + "1" * 5000], 400, "InvalidRequest"),
    "blank before the colon": (["Content-Length : 4"], 400, "InvalidRequest"),
    "blank before the colon of the coding": (["Transfer-Encoding : chunked"], 400, "InvalidRequest"),
    "no colon": (["Content-Length 4"], 400, "InvalidRequest"),
    "line that goes on": (["X-A: b", " c"], 400, "AmbiguousFraming"),
    "coding in the next line": (["Transfer-Encoding:", " chunked"], 400, "AmbiguousFraming"),
    "coding in the next line, by a tab": (["Transfer-Encoding:", "\tchunked"], 400, "AmbiguousFraming"),
    "bare LF": (["X-A: b\nTransfer-Encoding: chunked"], 400, "InvalidRequest"),
    "bare CR": (["X-A: b\rTransfer-Encoding: chunked"], 400, "InvalidRequest"),
    "NUL": (["X-A: b\0c"], 400, "InvalidRequest"),
    "empty name": ([": b"], 400, "InvalidRequest"),
    "authorization twice": ([AUTH], 400, "AmbiguousFraming"),
    "type twice": ([JSON, JSON], 400, "AmbiguousFraming"),
    "offset twice": (["Upload-Offset: 0", "Upload-Offset: 0"], 400, "AmbiguousFraming"),
}


@pytest.mark.parametrize("path", ["/v1/pipelines", "/healthz"])
def test_ambiguous_framing_is_refused_and_what_follows_is_never_executed(
    listener: Listener, watch: Watch, path: str
) -> None:
    for what, (lines, status, code) in FRAMINGS.items():
        with Raw(listener.port) as connection:
            request = head("POST", path, *lines, host=connection.host)
            connection.send(request + b"0\r\n\r\n" + smuggled(connection.host))
            watch.assert_problem(connection.answer(), status, code)
            assert connection.is_closed(), what
    watch.assert_unchanged()


def test_a_length_in_a_header_with_an_underscore_is_ignored(listener: Listener, watch: Watch) -> None:
    with Raw(listener.port) as connection:
        request = head("GET", routes.HEALTH, "Content_Length: 4", "Transfer_Encoding: chunked", host=connection.host)
        connection.send(request + request)
        assert [connection.answer().status, connection.answer().status] == [200, 200]


HOSTS: dict[str, tuple[list[str], int, str]] = {
    "no Host": ([], 400, "InvalidRequest"),
    "an empty Host": (["Host: "], 400, "InvalidRequest"),
    "two Hosts": (["Host: {ours}", "Host: {ours}"], 400, "AmbiguousFraming"),
    "two different Hosts": (["Host: {ours}", "host: evil.example"], 400, "AmbiguousFraming"),
    "a foreign Host": (["Host: evil.example"], 403, "ForeignHost"),
    "a foreign Host with our port": (["Host: evil.example:{port}"], 403, "ForeignHost"),
    "another address": (["Host: 127.0.0.2:{port}"], 403, "ForeignHost"),
    "any address": (["Host: 0.0.0.0:{port}"], 403, "ForeignHost"),
    "the address as a number": (["Host: 2130706433:{port}"], 403, "ForeignHost"),
    "our Host, another port": (["Host: 127.0.0.1:1"], 403, "ForeignHost"),
    "our Host, no port": (["Host: 127.0.0.1"], 403, "ForeignHost"),
    "our Host, an empty port": (["Host: 127.0.0.1:"], 403, "ForeignHost"),
    "our Host, a port that is none": (["Host: 127.0.0.1:{port}x"], 403, "ForeignHost"),
    "our Host at the end": (["Host: evil.example/127.0.0.1:{port}"], 403, "ForeignHost"),
    "our Host as a user": (["Host: 127.0.0.1:{port}@evil.example"], 403, "ForeignHost"),
    "a list": (["Host: {ours}, evil.example"], 403, "ForeignHost"),
    "a dot behind it": (["Host: localhost.:{port}"], 403, "ForeignHost"),
    "beyond ASCII": (["Host: loc\xe4lhost:{port}"], 403, "ForeignHost"),
    "an underscore": (["Host_: {ours}"], 400, "InvalidRequest"),
}


@pytest.mark.parametrize("path", ["/v1/ops", "/healthz", "/readyz"])
def test_a_foreign_host_is_refused_before_anything_else(listener: Listener, watch: Watch, path: str) -> None:
    for what, (lines, status, code) in HOSTS.items():
        with Raw(listener.port) as connection:
            given = [line.format(ours=connection.host, port=listener.port) for line in lines]
            connection.send(head("GET", path, *given) + smuggled(connection.host))
            watch.assert_problem(connection.answer(), status, code)
            assert connection.is_closed(), what
    watch.assert_unchanged()


def test_the_names_of_loopback_are_accepted(listener: Listener) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        with Raw(listener.port) as connection:
            connection.send(head("GET", "/v1/ops", host=f"{name}:{listener.port}"))
            assert connection.answer().status == 200


STARTS: dict[str, tuple[bytes, int, str]] = {
    "HTTP/0.9": (b"GET /v1/ops", 400, "InvalidRequest"),
    "HTTP/2.0": (b"GET /v1/ops HTTP/2.0", 400, "InvalidRequest"),
    "HTTP/1.2": (b"GET /v1/ops HTTP/1.2", 400, "InvalidRequest"),
    "HTTP/11": (b"GET /v1/ops HTTP/11", 400, "InvalidRequest"),
    "lower case": (b"GET /v1/ops http/1.1", 400, "InvalidRequest"),
    "no blank": (b"GET/v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "two blanks": (b"GET  /v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "a blank in the path": (b"GET /v1/ops x HTTP/1.1", 400, "InvalidRequest"),
    "a tab": (b"GET\t/v1/ops\tHTTP/1.1", 400, "InvalidRequest"),
    "method in lower case": (b"get /v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "no method": (b"/v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "absolute form": (b"GET http://127.0.0.1/v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "absolute form, foreign": (b"GET http://evil.example/v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "absolute form, broken": (b"GET http://[/v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "absolute form, no address": (b"GET http://[::1x]/ HTTP/1.1", 400, "InvalidRequest"),
    "authority": (b"CONNECT 127.0.0.1:1 HTTP/1.1", 400, "InvalidRequest"),
    "asterisk": (b"OPTIONS * HTTP/1.1", 400, "InvalidRequest"),
    "no slash": (b"GET v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "two slashes": (b"GET //v1/ops HTTP/1.1", 400, "InvalidRequest"),
    "two slashes to the public": (b"GET //healthz HTTP/1.1", 400, "InvalidRequest"),
    "fragment": (b"GET /v1/ops#x HTTP/1.1", 400, "InvalidRequest"),
    "beyond ASCII": (b"GET /v1/\xc3\xa4 HTTP/1.1", 400, "InvalidRequest"),
    "NUL": (b"GET /v1/ops\0 HTTP/1.1", 400, "InvalidRequest"),
    "escape": (b"GET /v1/\x1b[31m HTTP/1.1", 400, "InvalidRequest"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "InvalidRequest"),
    "preface of HTTP/2": (b"PRI * HTTP/2.0", 400, "InvalidRequest"),
}


def test_an_invalid_request_line_is_refused(listener: Listener, watch: Watch) -> None:
    for what, (line, status, code) in STARTS.items():
        with Raw(listener.port) as connection:
            lines = (line, b"Host: " + connection.host.encode(), AUTH.encode())
            connection.send(b"\r\n".join(lines) + b"\r\n\r\n" + smuggled(connection.host))
            watch.assert_problem(connection.answer(), status, code)
            assert connection.is_closed(), what
    watch.assert_unchanged()


def test_chunked_in_http_1_0_is_refused(listener: Listener, watch: Watch) -> None:
    with Raw(listener.port) as connection:
        lines = ("Transfer-Encoding: chunked", "Connection: keep-alive")
        connection.send(head("POST", "/v1/pipelines", *lines, host=connection.host, version="HTTP/1.0"))
        connection.send(b"0\r\n\r\n" + smuggled(connection.host))
        watch.assert_problem(connection.answer(), 400, "AmbiguousFraming")
        assert connection.is_closed()


@pytest.mark.parametrize("token", [ADMIN_TOKEN, None])
def test_a_head_that_is_too_large_is_refused(listener: Listener, watch: Watch, token: str | None) -> None:
    for lines in ([f"X-A: {'a' * limits.MAX_HEADERS}"], [f"X-{n}: {'a' * 1000}" for n in range(33)]):
        with Raw(listener.port) as connection:
            connection.send(head("GET", "/v1/ops", *lines, host=connection.host, token=token))
            watch.assert_problem(connection.answer(), 431, "HeadersTooLarge")
            assert connection.is_closed()


def test_a_head_without_an_end_is_refused_at_the_limit(listener: Listener, watch: Watch) -> None:
    with Raw(listener.port) as connection:
        for _ in range(33):
            connection.send(b"GET /" + b"a" * 1024)
        watch.assert_problem(connection.answer(), 431, "HeadersTooLarge")
        assert connection.is_closed()


CHUNKS: dict[str, bytes] = {
    "no digits": b"x\r\nabc\r\n0\r\n\r\n",
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "underscore": b"1_0\r\nabc\r\n0\r\n\r\n",
    "too short": b"5\r\nabc\r\n0\r\n\r\n" + b"x" * 20,
    "too long": b"2\r\nabc\r\n0\r\n\r\n",
    "bad extension": b"3;\0=\r\nabc\r\n0\r\n\r\n",
    "bare LF": b"3\nabc\n0\n\n\r\n",
}


def test_an_invalid_chunk_ends_the_append(http: Http, listener: Listener, watch: Watch) -> None:
    for what, chunks in CHUNKS.items():
        upload = http.upload()
        with Raw(listener.port) as connection:
            lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Transfer-Encoding: chunked")
            connection.send(head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host))
            connection.send(chunks + smuggled(connection.host))
            response = connection.answer()
            watch.assert_problem(response, 400, "InvalidRequest", unchanged=False)
            assert connection.is_closed(), what
        assert http.get("/v1/ops/smuggled").status_code == 404


def test_an_endless_line_between_chunks_is_refused(http: Http, listener: Listener, watch: Watch) -> None:
    for beginning in (b"3;", b"0\r\nX: "):
        upload = http.upload()
        with Raw(listener.port) as connection:
            lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Transfer-Encoding: chunked")
            connection.send(head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host))
            connection.send(beginning + b"a" * limits.MAX_HEADERS)
            watch.assert_problem(connection.answer(), 431, "HeadersTooLarge", unchanged=False)
            assert connection.is_closed()


def test_a_refused_request_that_expects_100_continue_does_not_get_it(listener: Listener, watch: Watch) -> None:
    lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Content-Length: 5", "Expect: 100-continue")
    for token, status, code in ((None, 401, "TokenRequired"), (ADMIN_TOKEN, 404, "UploadNotFound")):
        with Raw(listener.port) as connection:
            connection.send(head("PATCH", f"/v1/uploads/{'a' * 32}", *lines, host=connection.host, token=token))
            watch.assert_problem(connection.answer(), status, code)
            assert connection.is_closed()


def test_an_append_that_expects_100_continue_gets_it(http: Http, listener: Listener) -> None:
    upload = http.upload()
    lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Content-Length: 5", "Expect: 100-continue")
    with Raw(listener.port) as connection:
        connection.send(head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host))
        assert connection.answer().status == 100
        connection.send(b"bytes")
        assert connection.answer().status == 200
    assert http.get(f"/v1/uploads/{upload}").json()["offset"] == 5


def test_a_request_without_a_body_that_expects_100_continue_is_answered(listener: Listener) -> None:
    with Raw(listener.port) as connection:
        request = head("GET", "/v1/ops", "Expect: 100-continue", host=connection.host)
        for part in (request[:20], request[20:]):
            connection.send(part)
        assert connection.answer().status == 200
        connection.send(request)
        assert connection.answer().status == 200


def test_pipelined_requests_are_answered_in_order(listener: Listener, http: Http) -> None:
    with Raw(listener.port) as connection:
        connection.send(b"".join(smuggled(connection.host, f"op-{n}") for n in range(5)))
        connection.send(head("GET", "/v1/nothing", host=connection.host))
        assert [connection.answer().status for _ in range(6)] == [201] * 5 + [404]
    assert [op["name"] for op in http.get("/v1/ops").json()["ops"]] == [f"op-{n}" for n in range(5)]


def test_requests_before_a_refused_one_are_answered_and_those_after_it_are_not(listener: Listener, http: Http) -> None:
    with Raw(listener.port) as connection:
        bad = head("POST", "/v1/links", "Content-Length: 1", "Transfer-Encoding: chunked", host=connection.host)
        connection.send(smuggled(connection.host, "before") + bad + smuggled(connection.host, "behind"))
        assert [connection.answer().status, connection.answer().status] == [201, 400]
        assert connection.is_closed()
    assert [op["name"] for op in http.get("/v1/ops").json()["ops"]] == ["before"]


def test_no_byte_of_an_append_after_a_refused_request_is_kept(http: Http, listener: Listener, watch: Watch) -> None:
    upload = http.upload()
    watch.mark()
    with Raw(listener.port) as connection:
        bad = head("POST", "/v1/links", "Content-Length: 1", "Transfer-Encoding: chunked", host=connection.host)
        lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Content-Length: 5")
        connection.send(bad + head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host) + b"bytes")
        watch.assert_problem(connection.answer(), 400, "AmbiguousFraming")
        assert connection.is_closed()


def test_a_refused_client_that_stays_is_disconnected(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "LINGER_SECONDS", 0.2)
    with Raw(listener.port) as connection:
        connection.send(head("GET", "/v1/ops", host=connection.host, token=None))
        assert connection.answer().status == 401
        assert connection.is_closed()
        wait_for(lambda: not listener._channels(), "the end of the connection", seconds=10)


def test_a_refused_client_that_keeps_sending_is_disconnected(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "LINGER_BYTES", 1 << 20)
    with Raw(listener.port) as connection:
        connection.send(head("POST", "/v1/ops", "Content-Length: 99999999", host=connection.host, token=None))
        assert connection.answer().status == 401
        with pytest.raises(ConnectionError):
            connection.send(b"a" * (64 << 20))
    wait_for(lambda: not listener._channels(), "the end of the connection")
