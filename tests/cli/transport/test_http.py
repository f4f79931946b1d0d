"""The HTTP transport: what it sends again and to which daemon, and its connections in a forked process."""

import os
import threading

import pytest

from opstore_cli.local.runtime import LocalDaemon
from opstore_cli.transport import adapter
from opstore_cli.transport.http import HttpTransport
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors, routes
from tests.support.fake_daemon import FakeDaemon


@pytest.mark.parametrize(("headers", "sent"), [({}, 1), ({routes.IDEMPOTENCY_KEY: "k"}, 2)])
def test_only_a_repeatable_request_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], sent: int
) -> None:
    monkeypatch.setattr(adapter, "BACKOFF", 0.0)
    monkeypatch.setattr(adapter, "JITTER", 0.0)
    with FakeDaemon() as daemon:
        daemon.answers = [(503, routes.PROBLEM, b""), (200, routes.JSON, b"{}")]
        http = HttpTransport(lambda: Target(daemon.url))
        http.request("PATCH", "/v1/ops/pca", headers=headers, parameters={}, body=b"{}").close()
        http.close()
    assert len(daemon.log) == sent


@pytest.mark.parametrize(
    ("method", "headers", "again"),
    [("GET", {}, True), ("POST", {routes.IDEMPOTENCY_KEY: "k"}, True), ("PATCH", {}, False), ("POST", {}, False)],
)
def test_only_a_repeatable_request_is_sent_to_a_daemon_that_is_located_again(
    method: str, headers: dict[str, str], again: bool
) -> None:
    with FakeDaemon() as gone:
        lost = Target(gone.url, local_daemon=LocalDaemon(gone.url, 2, gone.port, "0"))
    with FakeDaemon() as daemon:
        daemon.answers = [(200, routes.JSON, b"{}")]
        found = [lost, Target(daemon.url, local_daemon=LocalDaemon(daemon.url, 2, daemon.port, "0"))]
        http = HttpTransport(lambda: found.pop(0))
        try:
            http.request(method, "/v1/ops", headers=headers, parameters={}, body=None).close()
            sent = True
        except errors.DaemonUnreachable:
            sent = False
        finally:
            http.close()
    assert (sent, len(daemon.log)) == (again, int(again))


def _get(http: HttpTransport) -> int:
    response = http.request("GET", "/v1/ops", headers={}, parameters={}, body=None)
    response.read(1024)
    response.close()
    return response.status


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_a_connection_of_its_own() -> None:
    with FakeDaemon() as daemon:
        daemon.answers = [(200, routes.JSON, b"{}")] * 4
        http = HttpTransport(lambda: Target(daemon.url, daemon.token, daemon.token))
        assert (_get(http), _get(http)) == (200, 200)
        assert len(daemon.health) == 1, "one proof, so one connection"
        child = os.fork()
        if child == 0:
            os._exit(0 if _get(http) == 200 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(daemon.health) == 2, "the child has a connection of its own"
        assert _get(http) == 200
        assert len(daemon.health) == 2, "the parent keeps its connection"
        http.close()


def test_threads_share_connections() -> None:
    with FakeDaemon() as daemon:
        daemon.answers = [(200, routes.JSON, b"{}")] * 5
        http = HttpTransport(lambda: Target(daemon.url, daemon.token, daemon.token))
        for _ in range(5):
            thread = threading.Thread(target=_get, args=(http,))
            thread.start()
            thread.join()
        http.close()
        assert (len(daemon.log), len(daemon.health)) == (5, 1)
