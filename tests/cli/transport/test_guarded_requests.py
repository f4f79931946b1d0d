"""What is sent again, and to whom: to a daemon that is busy, or to the one that is found in its place."""

import pytest

from opstore_cli.local.daemon import LocalDaemon
from opstore_cli.transport import adapter
from opstore_cli.transport.http import HttpTransport
from opstore_cli.transport.target import Target
from opstore_daemon.protocol import errors, routes
from tests.support.fake_daemon import FakeDaemon


@pytest.mark.parametrize(("headers", "sent"), [({}, 1), ({routes.IDEMPOTENCY_KEY: "k"}, 2)])
def test_what_may_not_be_repeated_is_sent_once(
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
def test_what_may_not_be_repeated_is_not_sent_to_a_daemon_that_is_found_again(
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
