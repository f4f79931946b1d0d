"""The listener: where it listens, and how it stops."""

import socket
import threading

import pytest
import requests

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.file_wrapper import ForwardBuffer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.web.framework.blob_body import MAX_BUFFERED
from tests.daemon.http.test_uploads import DATA, begin, staged
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.waiting import WITHIN, wait_for


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "", "127.0.0.2"])  # noqa: S104
def test_it_listens_on_loopback_only(server: OpStoreServer, host: str) -> None:
    with pytest.raises(errors.ListenRefused):
        Listener(server, host)


def test_behind_a_proxy_it_listens_elsewhere_too_and_accepts_the_same_hosts(server: OpStoreServer) -> None:
    host = "0.0.0.0"  # noqa: S104
    with Listener(server, host, behind_proxy=True) as listener, Raw(listener.port) as client:
        assert listener.url == f"http://127.0.0.1:{listener.port}"
        assert client.ask("GET", routes.READY).status == 200
        client.host = f"{host}:{listener.port}"
        assert client.ask("GET", routes.READY).status == 403


def test_behind_a_proxy_it_listens_on_addresses_and_not_on_names(server: OpStoreServer) -> None:
    for host in ("example.com", "", "10.0.0"):
        with pytest.raises(errors.InvalidSetting, match="is not an address such as"):
            Listener(server, host, behind_proxy=True)


def test_a_port_in_use_is_reported(server: OpStoreServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.InvalidSetting, match=f"port {port} of 127.0.0.1 can't be used"):
            Listener(server, port=port)


def test_it_can_be_stopped_repeatedly_and_after_its_end(server: OpStoreServer) -> None:
    with Listener(server) as listener:
        listener.stop()
        listener.stop()
    listener.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port), timeout=5)


def test_waiting_connections_are_closed_and_not_reset_by_a_stop(server: OpStoreServer) -> None:
    listener = Listener(server)
    waiting = [socket.create_connection(("127.0.0.1", listener.port), timeout=30) for _ in range(3)]
    listener.stop()
    listener.run()
    try:
        assert [connection.recv(1) for connection in waiting] == [b""] * 3
    finally:
        for connection in waiting:
            connection.close()


def test_a_stop_lets_a_running_request_finish(server: OpStoreServer) -> None:
    with Listener(server) as listener, Http(listener.url) as http, Raw(listener.port) as idle:
        assert idle.ask("GET", routes.OPS).status == 200
        upload = http.upload()
        with Raw(listener.port) as connection:
            begin(connection, upload, 0, 10)
            connection.send(DATA[:4])
            wait_for(lambda: staged(server, upload) == 4, "the arrival")
            listener.stop()
            assert idle.is_closed()
            with pytest.raises(requests.ConnectionError), Http(listener.url) as other:
                other.get(routes.HEALTH)
            connection.send(DATA[4:])
            assert connection.answer().status == 200


def test_it_stops_after_the_idle_timeout(server: OpStoreServer) -> None:
    listener = Listener(server)
    thread = threading.Thread(target=listener.run, kwargs={"idle_timeout": 0.1})
    with Raw(listener.port) as connection:
        connection.send(head("GET", routes.HEALTH, host=connection.host))  # it waits when the listener starts
        thread.start()
        assert connection.answer().status == 200
        thread.join(30)
    assert not thread.is_alive()


def test_a_failure_outside_the_application_is_a_problem_too(
    http: Http, listener: Listener, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_buffer: ForwardBuffer, _size: int | None = None) -> int:
        raise RuntimeError("a bug")

    http.push("up", b"bytes" * MAX_BUFFERED)  # else they go out with the head
    watch.mark()
    monkeypatch.setattr(ForwardBuffer, "prepare", failing)
    with Raw(listener.port) as connection:
        connection.send(head("GET", "/v1/ops/up/versions/latest/bytes", host=connection.host))
        details = watch.assert_problem(connection.answer(), 500, "InternalError")
        assert connection.is_closed()
    assert details["reference"] in caplog.text
    assert "RuntimeError: a bug" in caplog.text


def test_a_listener_that_is_not_wanted_any_more_stops(server: OpStoreServer) -> None:
    listener = Listener(server)
    thread = threading.Thread(target=listener.run, kwargs={"is_wanted": lambda: False})
    thread.start()
    try:
        thread.join(WITHIN)
        assert not thread.is_alive()
    finally:
        listener.stop()
        thread.join()
