"""Random bytes, heads and paths: the daemon responds with a status below 500 or disconnects, and keeps serving."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from tests.support.examples import examples
from tests.support.places import Place
from tests.support.raw_http import Raw, head
from tests.support.servers import ADMIN_TOKEN

METHODS = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "HEAD", "PUT", "OPTIONS", "get", "G\0T", ""])
WORDS = "/ v1 ops versions latest bytes uploads links verdict pipelines up p ? & = limit= cursor= op= use= %00 %ff %2f"
WORDS += " .. @ # 1.0.0 >=1 sha256: * http:// [ ] : \\ upstream=up downstream=p"
PARTS = st.sampled_from([*WORDS.split(), "\xff", "a" * 200, "a" * 32])
TARGETS = st.lists(PARTS, max_size=8).map("".join)
FIELDS = "Content-Length Transfer-Encoding Content-Type Content-Encoding Range If-Range If-None-Match Expect Connection"
FIELDS += " Origin Host Accept Upgrade Cookie X-Forwarded-For Forwarded \xe4"
OURS = [routes.UPLOAD_OFFSET, routes.IDEMPOTENCY_KEY, routes.REQUEST_ID, routes.NONCE, routes.AUTHOR]
NAMES = st.sampled_from([*FIELDS.split(), *OURS, " ", ""])
GIVEN = '0 5 -1 chunked gzip 100-continue bytes=0-1 bytes=-0 keep-alive close websocket * "x" \x85 {}'
VALUES = st.one_of(
    st.sampled_from([*GIVEN.split(" "), routes.JSON, routes.APPEND_TYPE, "a\nb", "9" * 5000]),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=20),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"{}", b"[" * 500, b'{"name":"p","ops":["a"]}', b"5\r\nbytes\r\n0\r\n\r\n", b"0\r\n\r\n", b"\xff"]
    ),
)
EXAMPLES = examples(500, HealthCheck.function_scoped_fixture)


@pytest.fixture(scope="module")
def port(lasting_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server = lasting_place.open(tmp_path_factory.mktemp("noise"))
    try:
        with Listener(server) as listener:
            yield listener.port
    finally:
        server.close()


def statuses(port: int, data: bytes) -> list[int]:
    """Send the bytes, shut down the sending side, and return the status of each response."""
    with Raw(port) as connection:
        try:
            connection.send(data)
            # A request of ours that is framed well makes the daemon answer what is before it, and then hang up.
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        received = b""
        try:
            while piece := connection.socket.recv(1 << 16):
                received += piece
        except ConnectionError:
            pass
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines]


def assert_goes_on(port: int, data: bytes) -> None:
    assert all(status < 500 for status in statuses(port, data))
    with Raw(port) as connection:
        assert connection.ask("GET", routes.OPS).status == 200


@pytest.mark.fuzz
@EXAMPLES
@given(st.binary(max_size=400))
@example(b"\r\n\r\n\r\n")
@example(b"\0" * 40_000)
@example(b"GET http://[ HTTP/1.1\r\n\r\n")
def test_random_bytes_break_nothing(port: int, data: bytes) -> None:
    assert_goes_on(port, data)


@pytest.mark.fuzz
@EXAMPLES
@given(METHODS, TARGETS, HEADERS, BODIES, st.booleans())
@example("POST", "/v1/links?\xff", [(routes.IDEMPOTENCY_KEY, "k"), ("Content-Type", routes.JSON)], b"{}", True)
@example("GET", "//v1/ops?\xff", [], b"", False)
@example("GET", "/v1/ops", [("Expect", "100-continue")], b"", False)
def test_random_heads_break_nothing(
    port: int, method: str, target: str, headers: list[tuple[str, str]], body: bytes, measured: bool
) -> None:
    lines = [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}"] if measured else []
    request = head(method, target, *lines, host=f"127.0.0.1:{port}", token=ADMIN_TOKEN) + body
    assert_goes_on(port, request)


@pytest.mark.fuzz
@EXAMPLES
@given(METHODS, TARGETS, BODIES, st.sampled_from([routes.JSON, routes.APPEND_TYPE]), HEADERS)
def test_well_framed_random_requests_are_answered_below_500(
    port: int, method: str, target: str, body: bytes, content: str, headers: list[tuple[str, str]]
) -> None:
    framing = {"content-length", "transfer-encoding", "host", "expect", "content-type", "connection"}
    lines = [f"{name}: {value}" for name, value in headers if name.lower() not in framing]
    lines += [f"Content-Type: {content}", "Connection: close", f"Content-Length: {len(body)}"]
    with Raw(port) as connection:
        connection.send(head(method, "/v1" + target, *lines, host=connection.host) + body)
        assert connection.answer(method).status < 500
