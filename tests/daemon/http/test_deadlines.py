"""Whatever a client does slowly, it has a deadline for it, and a working client has none."""

from collections.abc import Callable, Iterator

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server import channel
from opstore_daemon.http_server.channel import BODY_SECONDS, HEAD_SECONDS, STALLED_SECONDS
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from tests.daemon.http.test_bytes import BYTES
from tests.daemon.http.test_uploads import DATA, begin, staged
from tests.support.clock import Clock
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.waiting import wait_for

MIB = 1 << 20


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener(server: OpStoreServer, clock: Clock) -> Iterator[Listener]:
    """Yield a listener of the server, with a clock that stands still."""
    with Listener(server, clock=clock) as running:
        yield running


@pytest.fixture
def after(listener: Listener, clock: Clock) -> Callable[[float], None]:
    """Return a function that lets seconds pass, a second at a time, each noticed by the loop."""

    def after(seconds: float) -> None:
        for _ in range(int(seconds)):
            clock.now += 1
            listener._waitress.pull_trigger()
            wait_for(lambda: listener._waitress._checked_at >= clock.now, "a turn of the loop")

    return after


def arrived(listener: Listener, count: int = 1) -> None:
    """Wait until so many connections have sent something."""
    wait_for(lambda: sum(each.request is not None for each in listener._channels()) == count, "the arrival")


@pytest.mark.parametrize("what", few(1, ["head", "blank line"]))
def test_a_head_has_its_deadline_from_its_first_byte(
    listener: Listener, after: Callable[[float], None], what: str
) -> None:
    with Raw(listener.port) as slow, Raw(listener.port) as silent:
        wait_for(lambda: len(listener._channels()) == 2, "the connections")
        after(STALLED_SECONDS - HEAD_SECONDS - 2)
        slow.send(b"\r\n" if what == "blank line" else b"G")
        arrived(listener)
        for _ in range(int(HEAD_SECONDS / 2)):
            after(2)
            assert len(listener._channels()) == 2
            slow.send(b"E")
        after(1)
        assert slow.is_closed(), "although it sent something every two seconds"
        assert len(listener._channels()) == 1
        after(2)
        assert silent.is_closed()


@pytest.mark.slow
def test_a_body_of_json_has_a_deadline_as_a_whole(listener: Listener, after: Callable[[float], None]) -> None:
    with Raw(listener.port) as slow:
        fields = (f"Content-Type: {routes.JSON}", "Content-Length: 1000")
        slow.send(head("POST", routes.LINKS, *fields, host=slow.host))
        arrived(listener)
        for _ in range(int(BODY_SECONDS / 10)):
            after(10)
            assert listener._channels()
            slow.send(b" ")
        after(1)
        assert slow.is_closed()


def test_an_append_over_a_slow_line_goes_on_as_long_as_bytes_arrive(
    listener: Listener, after: Callable[[float], None], http: Http, server: OpStoreServer
) -> None:
    upload = http.upload()
    with Raw(listener.port) as slow:
        begin(slow, upload, 0, 10)
        for count in range(1, 5):
            slow.send(DATA[count - 1 : count])
            wait_for(lambda count=count: staged(server, upload) == count, "the arrival")  # type: ignore[misc]
            after(STALLED_SECONDS)
        assert any(each.request is not None for each in listener._channels())
        after(1)
        assert slow.is_closed()
    assert http.get(f"/v1/uploads/{upload}").json()["offset"] == 4


def test_a_response_that_nobody_reads_has_a_deadline(
    listener: Listener, after: Callable[[float], None], http: Http, clock: Clock
) -> None:
    http.push("up", b"x" * (40 * MIB))  # more than fits into the buffers of the system
    with Raw(listener.port) as silent:
        silent.send(head("GET", BYTES, host=silent.host))
        wait_for(lambda: any(each.total_outbufs_len for each in listener._channels()), "the response")
        (full,) = [each for each in listener._channels() if each.total_outbufs_len]
        for _ in range(5 * int(STALLED_SECONDS) // 10):
            if full.connected:
                read_at = full.active_at  # bytes are still sent until the system's buffers are full
                after(10)
        assert not full.connected
        assert clock.now - read_at > STALLED_SECONDS
        wait_for(lambda: not any(each.total_outbufs_len for each in listener._channels()), "the buffers to be freed")
        assert http.get(routes.OPS).status_code == 200


def test_a_refused_client_has_a_deadline_for_reading_why(listener: Listener, after: Callable[[float], None]) -> None:
    with Raw(listener.port) as slow:
        slow.send(head("GET", routes.OPS, host=slow.host, token=None))
        assert slow.answer().status == 401
        wait_for(lambda: any(each._linger_until for each in listener._channels()), "the wait")
        after(channel.LINGER_SECONDS + 1)
        wait_for(lambda: not listener._channels(), "the end of the connection")


def test_a_refused_client_that_resets_its_connection_is_no_error(listener: Listener) -> None:
    with Raw(listener.port) as client:
        client.send(head("GET", routes.OPS, host=client.host, token=None))
        assert client.answer().status == 401
        (refused,) = listener._channels()
    wait_for(lambda: not refused.connected, "the end of the connection")
    # As when the reset arrives together with the chance to send: the loop reads first, which closes the connection.
    refused._linger_until, refused.close_when_flushed = None, True
    refused.handle_write_event()
    assert refused._linger_until is None


@pytest.mark.slow
def test_a_running_request_has_no_deadline_of_a_connection(
    listener: Listener, after: Callable[[float], None], server: OpStoreServer
) -> None:
    with Raw(listener.port) as waiting:
        with server.db.write():
            body = b'{"fields":{"major":{"a":"1"}}}'
            fields = (f"Content-Type: {routes.JSON}", f"Content-Length: {len(body)}")
            waiting.send(head("POST", "/v1/ops/pca/versions", *fields, host=waiting.host) + body)
            wait_for(lambda: any(each.requests for each in listener._channels()), "the request")
            after(2 * STALLED_SECONDS)
        assert waiting.answer().status == 201
