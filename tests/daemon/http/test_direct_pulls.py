"""Pulls past the daemon, from a real object store: `serve --direct`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.console.session import Session
from opstore_cli.main import main
from opstore_cli.transport import direct
from opstore_daemon import OpStoreServer
from opstore_daemon.config import load
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.direct import LIFETIME
from opstore_daemon.store.store import Store
from opstore_daemon.web.api import blobs
from tests.support.fault_proxy import HttpProxy
from tests.support.http_client import Http
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN, TIMEOUT

DATA = random_bytes(300_001)
FROM = 100_000  # bytes; in place of DIRECT_FROM, so that the tests move few bytes
ASK = {"Accept": f"{routes.DIRECT_TYPE}, {routes.BYTES_TYPE}"}

Serve = Callable[[str | None], tuple[OpStoreServer, OpStoreClient, Http]]


@pytest.fixture
def serve(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A function that returns a server with pca@1.0.0 and pca@2.0.0, a client of it, and one of its HTTP API."""
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(blobs, "DIRECT_FROM", FROM)

    @contextmanager
    def serving(where: str | None) -> Iterator[tuple[OpStoreServer, OpStoreClient, Http]]:
        saver, url = S3Saver(bucket.url, direct=where), f"sqlite:///{tmp_path}/opstore.db"
        with (
            closing(OpStoreServer(saver, url, token=ADMIN_TOKEN, tokens={"read-token": "read"})) as server,
            Listener(server) as listener,
            OpStoreClient(
                settings=Settings(home=tmp_path / "home").with_url(listener.url), token=server.token
            ) as client,
            Http(listener.url, token=server.token) as http,
        ):
            client.push("pca", DATA)
            client.push("pca", DATA[:FROM], bump="major")
            yield server, client, http

    with ExitStack() as stack:
        yield lambda where: stack.enter_context(serving(where))


class Gets(list[str]):
    """The URLs that clients request past the daemon."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = direct.DirectConnections.get

        def get(connections: direct.DirectConnections, url: str, first: int, end: int | None = None) -> object:
            self.append(url)
            return real(connections, url, first, end)

        monkeypatch.setattr(direct.DirectConnections, "get", get)


def test_no_byte_of_an_op_passes_the_daemon(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client, _http = serve("on")
    assert isinstance(server.store.saver, S3Saver)
    sent, gets = Requests(server.store.saver), Gets(monkeypatch)
    monkeypatch.setattr(Store, "read", None)  # which opens the bytes of an op
    assert client.pull("pca@1.0.0") == DATA
    client.pull("pca@1.0.0", to=tmp_path / "out")
    with client.start_pull("pca@1.0.0", resume=True) as pull:
        assert pull.read_range(7, FROM + 7) == DATA[7 : FROM + 7]
        assert pull.read_range(5, 10) == DATA[5:10]  # the URL is known by now
    assert (tmp_path / "out").read_bytes() == DATA
    assert (len(gets), sent.taken()) == (4, {})


@pytest.mark.slow
def test_small_versions_small_ranges_and_clients_that_do_not_ask_get_bytes(serve: Serve) -> None:
    _server, client, http = serve("on")
    path, small = "/v1/ops/pca/versions/1.0.0/bytes", "/v1/ops/pca/versions/2.0.0/bytes"
    for url, headers, status, kind in (
        (path, ASK, 200, routes.DIRECT_TYPE),
        (path, ASK | {"Range": f"bytes=5-{FROM + 4}"}, 200, routes.DIRECT_TYPE),
        (path, ASK | {"Range": f"bytes=5-{FROM + 3}"}, 206, routes.BYTES_TYPE),
        (path, ASK | {"Range": "bytes=900000-"}, 416, routes.PROBLEM),
        (path, ASK | {"If-None-Match": f'"{digest_of(DATA)}"'}, 304, ""),
        (path, {"Accept": "*/*"}, 200, routes.BYTES_TYPE),
        (path, {"Accept": "application/*"}, 200, routes.BYTES_TYPE),
        (path, {}, 200, routes.BYTES_TYPE),
        (small, ASK | {"Range": "bytes=1-"}, 206, routes.BYTES_TYPE),
    ):
        answer = http.get(url, headers=headers)
        assert (answer.status_code, answer.headers.get("Content-Type", "")) == (status, kind), headers
        assert (kind == routes.DIRECT_TYPE) == ("Signature" in answer.text)
    assert client.pull("pca@2.0.0") == DATA[:FROM]


def test_without_the_setting_the_daemon_names_no_url(serve: Serve) -> None:
    _server, client, http = serve(None)
    answer = http.get("/v1/ops/pca/versions/1.0.0/bytes", headers=ASK)
    assert (answer.headers["Content-Type"], answer.content) == (routes.BYTES_TYPE, DATA)
    assert client.pull("pca@1.0.0") == DATA


def test_a_url_allows_reading_one_object_and_nothing_else_and_expires(serve: Serve, bucket: Bucket) -> None:
    _server, _client, http = serve("on")
    asked_at = datetime.now(UTC)
    answer = http.get("/v1/ops/pca/versions/1.0.0/bytes", headers=ASK)
    place = records.decoder(records.DirectBytes).decode(answer.content)
    assert 0 <= (place.expires_at - asked_at).total_seconds() - LIFETIME < 60
    assert f"X-Amz-Expires={LIFETIME}&" in place.url
    assert place.url not in repr(place)
    assert requests.get(place.url, timeout=TIMEOUT).content == DATA
    for method in ("PUT", "DELETE", "POST"):
        assert requests.request(method, place.url, data=b"other", timeout=TIMEOUT).status_code in (400, 403, 405)
    key = place.url.partition("?")[0].rpartition("/")[2]
    other = next(name for name in bucket.list_keys() if key not in name and name.startswith("objects/"))
    for changed in (
        place.url.replace(f"{key[:2]}/{key}", other.removeprefix("objects/")),
        place.url.replace("X-Amz-Expires=900", "X-Amz-Expires=9000"),
        place.url.replace("127.0.0.1", "localhost"),
        place.url.partition("?")[0],
    ):
        assert changed != place.url
        assert requests.get(changed, timeout=TIMEOUT).status_code == 403


@pytest.mark.slow
def test_an_expired_url_is_replaced(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    _server, client, _http = serve("on")
    gets = Gets(monkeypatch)
    with client.start_pull("pca@1.0.0", resume=True) as pull:
        assert pull.read_range(0, FROM) == DATA[:FROM]
        pull._direct._url = f"{pull._direct._url}x"  # as if it had expired: both are 403
        assert pull.read_range(FROM, 2 * FROM) == DATA[FROM : 2 * FROM]
    assert [url.endswith("x") for url in gets] == [False, True, False]


def test_clients_reach_the_object_store_at_its_public_url(
    bucket: Bucket, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gets = Gets(monkeypatch)
    with HttpProxy(int(bucket.endpoint.rpartition(":")[2])) as proxy:
        _server, client, _http = serve(proxy.url)
        assert client.pull("pca@1.0.0") == DATA
        assert [url.partition("/tests/")[0] for url in gets] == [proxy.url]


def test_if_the_object_store_is_not_reached_the_daemon_sends_the_bytes_and_v_says_so(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _client, http = serve("http://127.0.0.1:1")
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path / "another"))
    monkeypatch.setenv("OPSTORE_TOKEN", server.token)
    note = "pca@1.0.0 comes through the daemon: http://127.0.0.1:1: connection refused\n"
    for option, text in (("-v", note), ("-q", "")):
        target = tmp_path / f"out{option}"
        assert main(["--url", http.url, option, "pull", "pca@1.0.0", "-o", str(target)], Session()) == 0
        assert (target.read_bytes(), capsys.readouterr().err) == (DATA, text)


def test_of_a_blob_that_is_marked_removed_or_damaged_no_wrong_byte_comes(serve: Serve, bucket: Bucket) -> None:
    server, client, http = serve("on")
    assert isinstance(server.store.saver, S3Saver)
    found = server.store.saver._records.blob(digest_of(DATA))
    assert found is not None
    key = f"{bucket.prefix}objects/{found.key[:2]}/{found.key}"
    bucket.client().put_object(Bucket=bucket.name, Key=key, Body=b"!" + DATA[1:])
    with pytest.raises(errors.BlobDamaged):
        client.pull("pca@1.0.0")
    client.fsck(read_data=True, repair=True)
    answer = http.get("/v1/ops/pca/versions/1.0.0/bytes", headers=ASK)
    assert (answer.status_code, "BlobDamaged" in answer.text) == (500, True)
    with pytest.raises(errors.BlobDamaged, match="fsck"):
        client.pull("pca@1.0.0")


def test_a_token_of_scope_read_is_enough_and_none_is_not(serve: Serve) -> None:
    _server, _client, http = serve("on")
    path = "/v1/ops/pca/versions/1.0.0/bytes"
    for token, status in (("read-token", 200), (None, 401), ("other", 401)):
        assert http.with_token(token).get(path, headers=ASK).status_code == status


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("on", "on"),
        ("off", None),
        ("", None),
        ("https://objects.example.com", "https://objects.example.com"),
        ("http://minio:9000/", "http://minio:9000"),
        ("https://[2001:db8::1]:9000", "https://[2001:db8::1]:9000"),
    ],
)
def test_the_setting_is_on_or_a_url(tmp_path: Path, text: str, found: str | None) -> None:
    for config in (
        load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_DIRECT": text}),
        load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_DIRECT": "nonsense"}, direct=text),
    ):
        assert config.direct == found


@pytest.mark.parametrize(
    "text",
    ["yes", "ftp://host", "https://user:secret@host", "https://host/path", "https://host?secret", "https://", "s3://b"],
)
def test_another_setting_is_refused_without_naming_a_password(tmp_path: Path, text: str) -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_DIRECT": text})
    assert "secret" not in str(caught.value)
    assert "OPSTORE_DIRECT" in str(caught.value)


@pytest.mark.parametrize("saver", [None, "memory:"])
def test_the_setting_needs_an_object_store(tmp_path: Path, saver: str | None) -> None:
    with pytest.raises(errors.InvalidSetting, match="s3://"):
        load({"OPSTORE_HOME": str(tmp_path)}, saver=saver, direct="on").check_direct()
