"""Requests: retries, errors, and the influence of the environment."""

import threading
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.local.bounded_response import _Timed
from opstore_daemon.protocol import errors, routes
from tests.support.fake_daemon import FakeDaemon
from tests.support.transfers import BYTES

pytestmark = pytest.mark.usefixtures("no_waits")


def test_a_busy_daemon_gets_the_request_again_with_the_same_key(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.answers = [(503, "text/plain", b"")] * 2
    client.push("pca", b"")
    keys = [headers.get(routes.IDEMPOTENCY_KEY) for headers in daemon.headers]
    assert (keys[0], keys[0]) == (keys[1], keys[2])
    assert keys[2] != keys[3]


def test_the_body_of_a_busy_daemon_is_not_read_to_its_end(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, readinto = [], _Timed.readinto

    def counted(stream: _Timed, buffer: Any) -> int | None:
        counts.append(readinto(stream, buffer) or 0)
        return counts[-1]

    monkeypatch.setattr(_Timed, "readinto", counted)
    daemon.answers = [(503, "text/plain", b"x" * 8 * 1024 * 1024)] * 2
    client.push("pca", b"")
    assert sum(counts) < 1024 * 1024


def test_an_append_is_repeated_only_when_the_offset_is_known(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.faults = [("PATCH uploads", 0)]
    client.push("pca", BYTES)
    assert [line.split()[0] for line in daemon.log] == ["POST", "PATCH", "GET", "PATCH", "POST"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, "text/html", b"<html>"), "not an opstore daemon"),
        ((404, "text/html", b"<html>"), r"not an opstore daemon \(HTTP 404\)"),
        ((500, routes.PROBLEM, b"x" * 2_000_000), r"not an opstore daemon \(HTTP 500\)"),
        ((302, routes.JSON, b""), "redirect"),
    ],
)
def test_a_response_that_is_not_a_daemons_is_reported(
    daemon: FakeDaemon, client: OpStoreClient, answer: tuple[int, str, bytes], reason: str
) -> None:
    daemon.answers = [answer]
    with pytest.raises(errors.DaemonUnreachable, match=reason):
        client.show("pca")


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 100_000, b'{"op": 1}', b"NaN", '{"op": "pca"}'.encode("utf-16")])
def test_json_that_is_not_the_record_is_refused(daemon: FakeDaemon, client: OpStoreClient, body: bytes) -> None:
    daemon.answers = [(200, routes.JSON, body)]
    with pytest.raises(errors.UnexpectedResponse, match="to a request for GET /v1/ops/pca/versions/latest"):
        client.show("pca")


def test_the_reason_for_an_unreachable_daemon_is_short(tmp_path: Path) -> None:
    with FakeDaemon() as gone:
        settings = Settings(home=tmp_path).with_url(gone.url)
    with OpStoreClient(settings=settings) as client, pytest.raises(errors.DaemonUnreachable) as caught:
        client.show("pca")
    assert caught.value.details["reason"] == "connection refused"


def test_an_error_of_the_daemon_is_raised_as_its_class(daemon: FakeDaemon, client: OpStoreClient) -> None:
    with pytest.raises(errors.UploadNotFound):
        client._api.request("GET", "/v1/uploads/none", object)


def test_proxy_and_netrc_of_the_environment_are_ignored(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.versions.append(b"x")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with OpStoreClient(settings=Settings(home=tmp_path).with_url(daemon.url)) as client:
        client.show("pca")
    assert "Authorization" not in daemon.headers[-1]


def test_threads_share_a_client(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.versions.append(BYTES)
    pulled: list[bytes] = []
    threads = [threading.Thread(target=lambda: pulled.append(client.pull("pca"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pulled == [BYTES] * 5


def test_a_missing_certificate_bundle_is_reported(client: OpStoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(errors.InvalidSetting, match="REQUESTS_CA_BUNDLE"):
        client.show("pca")
