"""The same application under other WSGI servers, where nothing checks a request before Flask does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import werkzeug.serving

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import digest_of
from tests.daemon.http.test_bytes import BYTES, MIB, large
from tests.support.http_client import Http
from tests.support.raw_http import Raw, ask, head
from tests.support.servers import READ_TOKEN
from tests.support.stored_blob import stored_blob
from tests.support.waiting import wait_for

DATA = b"0123456789"


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def get_stderr(self) -> "Nowhere":  # type: ignore[override]
        return Nowhere()


class Nowhere:
    def write(self, _text: str) -> int:
        return 0

    def flush(self) -> None:
        pass


class QuietWerkzeug(werkzeug.serving.WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        pass


class Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def wsgiref_server(server: OpStoreServer) -> Iterator[int]:
    with make_server("127.0.0.1", 0, server.flask, server_class=Threading, handler_class=Quiet) as running:
        yield from _served(running.serve_forever, running.shutdown, running.server_port)


@contextmanager
def werkzeug_server(server: OpStoreServer) -> Iterator[int]:
    running = werkzeug.serving.make_server("127.0.0.1", 0, server.flask, threaded=True, request_handler=QuietWerkzeug)
    try:
        yield from _served(running.serve_forever, running.shutdown, running.server_port)
    finally:
        running.server_close()


def _served(serve: Callable[[float], None], shutdown: Callable[[], None], port: int) -> Iterator[int]:
    thread = threading.Thread(target=serve, args=(0.05,))
    thread.start()
    try:
        yield port
    finally:
        shutdown()
        thread.join()


Serving = Callable[[OpStoreServer], AbstractContextManager[int]]


@pytest.fixture(params=[wsgiref_server, werkzeug_server])
def port(request: pytest.FixtureRequest, server: OpStoreServer) -> Iterator[int]:
    serving: Serving = request.param
    with serving(server) as found:
        yield found


@pytest.fixture
def http(port: int) -> Iterator[Http]:
    with Http(f"http://127.0.0.1:{port}") as client:
        yield client


def code(response: object) -> tuple[int, str]:
    status: int = response.status_code  # type: ignore[attr-defined]
    assert response.headers["Content-Type"] == routes.PROBLEM  # type: ignore[attr-defined]
    word: str = response.json()["code"]  # type: ignore[attr-defined]
    return status, word


def test_a_push_and_a_pull_work(http: Http) -> None:
    upload = http.upload(size=10)
    for start in (0, 4):
        stop = start + 4 if start == 0 else 10
        assert http.append(upload, DATA[start:stop], start).json()["offset"] == stop
    assert http.post("/v1/ops/up/versions", {"upload": upload, "digest": digest_of(DATA)}).status_code == 201
    response = http.pull("up")
    assert (response.content, response.headers["ETag"]) == (DATA, f'"{digest_of(DATA)}"')
    assert http.pull("up", headers={"Range": "bytes=2-4"}).content == DATA[2:5]
    assert http.pull("up", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    assert http.ask("HEAD", BYTES).headers["Content-Length"] == "10"
    http.push("up", b"")
    assert http.pull("up").content == b""
    http.push("up", large())
    assert http.pull("up").content == large()


def test_appends_follow_the_same_rules(http: Http) -> None:
    upload = http.upload(DATA[:5], size=10)
    assert code(http.append(upload, DATA[5:], 4)) == (409, "OffsetMismatch")
    assert code(http.append(upload, DATA[5:], None)) == (400, "InvalidRequest")
    assert code(http.append(upload, DATA, 5)) == (413, "TooLarge")
    assert code(http.append("a" * 32, DATA, 0)) == (404, "UploadNotFound")
    assert code(http.append(upload, DATA[5:], 5, **{"Content-Type": routes.JSON})) == (415, "UnsupportedContent")
    assert code(http.with_token(READ_TOKEN).append(upload, DATA[5:], 5)) == (403, "ScopeRequired")
    assert http.append(upload, b"", 5).json()["offset"] == 5
    assert http.append(upload, DATA[5:], 5).json()["offset"] == 10


@pytest.mark.slow
def test_an_append_of_unknown_length_is_stored_completely_or_refused(http: Http) -> None:
    upload = http.upload(size=10)
    response = http.append(upload, iter([DATA[:4], DATA[4:]]))
    if response.status_code == 411:  # where the server hands over no such body
        assert code(response) == (411, "LengthRequired")
        assert http.get(f"/v1/uploads/{upload}").json()["offset"] == 0
    else:
        assert response.json()["offset"] == 10


def test_a_client_that_disconnects_leaves_the_offset(http: Http, port: int, tmp_path: Path) -> None:
    upload = http.upload()
    with Raw(port) as connection:
        lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Content-Length: 10")
        connection.send(head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host) + DATA[:4])

    def goes_on() -> bool:
        # This request claims the upload, unless the append has not begun yet: then it is repeated.
        offset = http.get(f"/v1/uploads/{upload}").json()["offset"]
        assert offset in (0, 4)
        return http.append(upload, DATA[offset:], offset).status_code == 200

    wait_for(goes_on, "an append behind the one that broke off")
    assert http.post("/v1/ops/up/versions", {"upload": upload}).json()["digest"] == digest_of(DATA)


def test_requests_are_refused_as_by_our_own_server(http: Http, port: int) -> None:
    nobody = http.with_token(None)
    assert code(nobody.get(routes.OPS)) == (401, "TokenRequired")
    assert code(http.get(routes.OPS, headers={"Host": "evil.example"})) == (403, "ForeignHost")
    assert code(http.get(routes.OPS, headers={"Origin": "http://evil.example"})) == (403, "ForeignOrigin")
    assert code(http.get("/nowhere")) == (404, "RouteNotFound")
    assert code(http.ask("OPTIONS", routes.OPS)) == (405, "MethodNotAllowed")
    assert code(http.post(routes.PIPELINES, {"name": "..", "ops": ["a"]})) == (400, "InvalidName")
    assert code(http.get(routes.OPS, params={"typo": "1"})) == (400, "InvalidRequest")
    assert ask(port, "GET", b"/v1/ops?\xff").status == 400
    json = {"Content-Type": routes.JSON}
    large_body = b"{" + b" " * MIB
    assert code(http.ask("POST", routes.PIPELINES, data=large_body, headers=json)) == (413, "TooLarge")
    assert code(http.ask("POST", routes.PIPELINES, data=iter([b"{}"]), headers=json)) == (411, "LengthRequired")
    assert code(http.ask("POST", routes.PIPELINES, data=b"{}", headers={})) == (415, "UnsupportedContent")
    response = nobody.get(routes.HEALTH)
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert http.get(routes.OPS).json()["ops"] == []


def test_a_damaged_blob_is_never_sent_completely(server: OpStoreServer, http: Http, port: int) -> None:
    data = large()
    http.push("up", data)
    stored_blob(server, digest_of(data)).write(data[:-1] + b"!")
    response = ask(port, "GET", BYTES)
    assert (response.status, response.cut) == (200, True)
    http.push("other", DATA)
    stored_blob(server, digest_of(DATA)).write(DATA[:-1] + b"!")
    assert code(http.pull("other")) == (500, "BlobDamaged")
