"""Bodies before the application runs: refused unread, or stored in their file as they arrive."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import posix
from opstore_daemon.savers.pipe import Pipe
from tests.daemon.http.test_uploads import DATA, begin, offset_of, pushed, staged
from tests.support.daemon_process import daemon_process
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.servers import ADMIN_TOKEN, READ_TOKEN
from tests.support.waiting import wait_for

MIB = 1 << 20
LARGE = 64 * MIB
JSON = f"Content-Type: {routes.JSON}"

REFUSALS: dict[str, tuple[str, str, list[str], str | None, int, str]] = {
    "append without a token": ("PATCH", "upload", [], None, 401, "TokenRequired"),
    "append with a wrong token": ("PATCH", "upload", [], "wrong", 401, "TokenRequired"),
    "append with a token that may only read": ("PATCH", "upload", [], READ_TOKEN, 403, "ScopeRequired"),
    "append to no upload": ("PATCH", "/v1/uploads/" + "a" * 32, [], ADMIN_TOKEN, 404, "UploadNotFound"),
    "append beyond the size": ("PATCH", "upload", [], ADMIN_TOKEN, 413, "TooLarge"),
    "JSON without a token": ("POST", "/v1/links", [JSON], None, 401, "TokenRequired"),
    "JSON with a wrong token": ("POST", "/v1/links", [JSON], "wrong", 401, "TokenRequired"),
    "JSON": ("POST", "/v1/links", [JSON], ADMIN_TOKEN, 413, "TooLarge"),
    "a body for nobody": ("POST", "/nowhere", [], ADMIN_TOKEN, 413, "TooLarge"),
    "a body for the public": ("POST", "/healthz", [], None, 400, "InvalidRequest"),
    "a foreign Host": ("POST", "/v1/links", ["Host: evil.example"], ADMIN_TOKEN, 403, "ForeignHost"),
    "a foreign Origin": ("POST", "/v1/links", ["Origin: http://evil.example"], ADMIN_TOKEN, 403, "ForeignOrigin"),
}


def large_head(connection: Raw, what: str, upload: str, length: str) -> tuple[bytes, int, str]:
    method, path, lines, token, status, code = REFUSALS[what]
    if method == "PATCH":
        path = f"/v1/uploads/{upload}" if path == "upload" else path
        lines = [f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0"]
    host = None if any(line.startswith("Host") for line in lines) else connection.host
    return head(method, path, *lines, length, host=host, token=token), status, code


def test_a_large_body_is_refused_before_it_is_sent(http: Http, listener: Listener, watch: Watch) -> None:
    upload = http.upload(size=10)
    watch.mark()
    for what in REFUSALS:
        with Raw(listener.port) as connection:
            request, status, code = large_head(connection, what, upload, f"Content-Length: {LARGE}")
            connection.send(request + b"x" * 100)
            watch.assert_problem(connection.answer(), status, code)
            assert connection.is_closed()


def test_a_client_that_sends_all_of_a_refused_body_can_read_the_error(
    http: Http, listener: Listener, watch: Watch
) -> None:
    upload = http.upload(size=10)
    watch.mark()
    piece = b"x" * MIB
    for what in ("append with a wrong token", "append beyond the size", "JSON"):
        with Raw(listener.port) as connection:
            request, status, code = large_head(connection, what, upload, f"Content-Length: {LARGE}")
            connection.send(request)
            for _ in range(LARGE // MIB):
                connection.send(piece)
            watch.assert_problem(connection.answer(), status, code)
            assert connection.is_closed()


def test_an_unauthenticated_body_of_unknown_length_is_refused(http: Http, listener: Listener, watch: Watch) -> None:
    upload = http.upload()
    watch.mark()
    for token in (None, "wrong", READ_TOKEN):
        with Raw(listener.port) as connection:
            lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", "Transfer-Encoding: chunked")
            connection.send(head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host, token=token))
            connection.send(b"5\r\nbytes\r\n")
            code = "ScopeRequired" if token == READ_TOKEN else "TokenRequired"
            watch.assert_problem(connection.answer(), 403 if token == READ_TOKEN else 401, code)


def test_unauthenticated_bodies_use_neither_memory_nor_files(tmp_path: Path) -> None:
    piece = b"x" * MIB
    with daemon_process(tmp_path) as daemon:
        assert daemon.http.get("/v1/ops").status_code == 200
        before, files = daemon.peak(), sorted(tmp_path.rglob("*"))
        connections = [Raw(daemon.port) for _ in range(60)]
        try:
            for number, connection in enumerate(connections):
                token = None if number % 2 else "wrong"
                lines = (f"Content-Type: {routes.APPEND_TYPE}", "Upload-Offset: 0", f"Content-Length: {2 * MIB}")
                path = f"/v1/uploads/{'a' * 32}" if number % 3 else "/v1/links"
                connection.send(head("PATCH", path, *lines, host=connection.host, token=token))
                for _ in range(2):
                    connection.send(piece)
                assert connection.answer().status == 401
        finally:
            for connection in connections:
                connection.close()
        assert daemon.peak() - before < 32 * MIB
        assert sorted(tmp_path.rglob("*")) == files
        assert daemon.http.get("/v1/ops").json()["ops"] == []


def test_the_bytes_of_an_append_are_stored_before_the_request_is_complete(
    http: Http, listener: Listener, server: OpStoreServer
) -> None:
    upload = http.upload()
    with Raw(listener.port) as connection:
        begin(connection, upload, 0, 3 * MIB)
        for number in (1, 2):
            connection.send(b"x" * MIB)
            wait_for(lambda number=number: staged(server, upload) == number * MIB, "the arrival")  # type: ignore[misc]
        connection.send(b"x" * MIB)
        assert connection.answer().status == 200
    assert pushed(http, upload) == digest_of(b"x" * 3 * MIB)


def _fail(monkeypatch: pytest.MonkeyPatch, error: int, times: int) -> None:
    """Make a number of writes of a draft fail after half of the bytes."""
    left, write_all, empty = [times], posix.write_all, Pipe.empty

    def fails_now(count: int) -> bool:
        now = bool(left[0]) and count > 1
        left[0] -= now
        return now

    def failing_write(descriptor: int, data: Any, offset: int) -> None:
        if fails_now(len(data)):
            write_all(descriptor, memoryview(data)[: len(data) // 2], offset)
            raise OSError(error, os.strerror(error))
        write_all(descriptor, data, offset)

    def failing_empty(pipe: Pipe, descriptor: int, offset: int, count: int) -> None:
        if fails_now(count):
            empty(pipe, descriptor, offset, count // 2)
            raise OSError(error, os.strerror(error))
        empty(pipe, descriptor, offset, count)

    monkeypatch.setattr(posix, "write_all", failing_write)
    monkeypatch.setattr(Pipe, "empty", failing_empty)


@pytest.mark.local
@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS])
def test_a_disk_that_fails_refuses_the_append_and_the_upload_can_resume(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    upload = http.upload(DATA[:4])
    watch.mark()
    _fail(monkeypatch, error, 2)
    for body in (DATA[4:], iter([DATA[4:]])):
        response = http.append(upload, body, 4)
        assert os.strerror(error) in response.json()["detail"]
        watch.assert_problem(response, 503, "StorageFailed")
    assert offset_of(http, upload) == 4
    assert http.append(upload, DATA[4:], 4).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


@pytest.mark.local
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_full_disk_refuses_the_append_and_frees_the_upload_before_it_responds(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: int, chunked: bool
) -> None:
    upload = http.upload(DATA[:4])
    _fail(monkeypatch, error, 1)
    response = http.append(upload, iter([DATA[4:]]) if chunked else DATA[4:], 4)
    watch.assert_problem(response, 507, "StorageFull")  # the state is that before the upload
    assert os.strerror(error) in response.json()["detail"]
    watch.assert_problem(http.get(f"/v1/uploads/{upload}"), 404, "UploadNotFound")


@pytest.mark.local
def test_a_chunk_after_one_that_was_not_stored_is_not_kept(
    http: Http, listener: Listener, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = http.upload(DATA[:4])
    watch.mark()
    _fail(monkeypatch, errno.EIO, 1)
    with Raw(listener.port) as connection:
        begin(connection, upload, 4, None)
        connection.send(b"3\r\n456\r\n3\r\n789\r\n0\r\n\r\n")
        watch.assert_problem(connection.answer(), 503, "StorageFailed")
    assert offset_of(http, upload) == 4


@pytest.mark.local
def test_a_disk_that_is_full_at_the_end_keeps_nothing(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = watch.files()
    upload = http.upload(DATA)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", _raising(OSError(errno.ENOSPC, "No space left on device")))
        response = http.post("/v1/ops/up/versions", {"upload": upload})
        assert watch.files() == before
        watch.assert_problem(response, 507, "StorageFull", unchanged=False)
    assert http.get("/v1/ops").json()["ops"] == []
    assert http.get("/v1/uploads").json()["uploads"] == []


def _raising(error: Exception) -> Callable[..., Any]:
    def failing(*_args: Any, **_options: Any) -> Any:
        raise error

    return failing


@pytest.mark.parametrize(
    ("error", "status", "code"), [(errno.ENOSPC, 507, "StorageFull"), (errno.EIO, 503, "StorageFailed")]
)
def test_a_body_that_finds_no_room_in_the_temporary_folder_is_refused_with_a_response(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: int, status: int, code: str
) -> None:
    def full(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(error, os.strerror(error))

    parts = {"version": ("version", b"{}", "application/json"), "bytes": ("bytes", bytes(900_000), routes.BYTES_TYPE)}
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", full)
        response = http.post("/v1/ops/up/versions", files=parts)
        assert os.strerror(error) in response.json()["detail"]
        watch.assert_problem(response, status, code)
    assert http.post("/v1/ops/up/versions", files=parts).status_code == 201
