"""A push of a few bytes is one request: a form with the record and the bytes (RFC 7578)."""

import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3 import encode_multipart_formdata

from opstore_cli import OpStoreClient
from opstore_cli.transport import api
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import limits, routes
from opstore_daemon.protocol.digests import digest_of
from tests.daemon.http.test_idempotency import key, same
from tests.support.daemon_process import daemon_process
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.servers import ADMIN_TOKEN, READ_TOKEN

PATH = "/v1/ops/pca/versions"
DATA = b"\r\n--bytes\x00\xff" * 100
Part = tuple[str | None, bytes, str]


def form(data: bytes = DATA, record: bytes = b"{}", **more: Part) -> dict[str, Part]:
    """Return the arguments of a push as a form."""
    return {"version": (None, record, routes.JSON), "bytes": ("x", data, routes.BYTES_TYPE), **more}


@pytest.mark.parametrize("data", [b"", b"\n", b"a", DATA, b"\r\n" * (limits.SMALL_PUSH // 2)], ids=len)
@pytest.mark.parametrize("filename", few(1, [None, "model.bin", "../x; filename=y"]))
def test_the_bytes_are_stored_as_they_are(http: Http, data: bytes, filename: str | None) -> None:
    wanted = f'{{"digest": "{digest_of(data)}", "size": {len(data)}, "message": "é"}}'.encode()
    pushed = http.post(PATH, files=form(record=wanted, bytes=(filename, data, routes.BYTES_TYPE)))
    assert (pushed.status_code, pushed.headers["Location"]) == (201, f"{PATH}/1.0.0")
    assert (pushed.json()["digest"], pushed.json()["message"]) == (digest_of(data), "é")
    assert http.pull("pca").content == data
    assert http.post(PATH, files=form(data)).status_code == 200


def test_a_key_covers_the_record_and_the_bytes_whatever_the_boundary(http: Http, watch: Watch) -> None:
    first = http.post(PATH, files=form(record=b'{"new": true}'), headers=key("k"))
    assert first.status_code == 201
    watch.mark()
    for _ in range(2):
        body, kind = encode_multipart_formdata(dict(reversed(form(record=b'{"new": true}').items())))  # type: ignore[arg-type]
        again = http.post(PATH, data=body, headers={**key("k"), "Content-Type": kind})
        assert same(again, first)
    for other in (form(record=b'{"new": true }'), form(DATA[1:], b'{"new": true}')):
        watch.assert_problem(http.post(PATH, files=other, headers=key("k")), 409, "KeyReused")
    watch.assert_unchanged()


@pytest.mark.parametrize("where", ["bytes", "message"])
def test_bytes_that_contain_the_boundary_are_stored_unchanged(http: Http, where: str) -> None:
    hostile = f"\r\n--{api.BOUNDARY}--\r\n"
    data, message = (hostile.encode(), "m") if where == "bytes" else (b"bytes", api.BOUNDARY)
    with OpStoreClient(http.url, token=ADMIN_TOKEN) as client:
        assert client.push("pca", data, message=message).message == message
        assert client.pull("pca") == data


def test_two_simultaneous_equal_pushes_make_one_version(http: Http) -> None:
    responses: list[requests.Response] = []
    threads = [
        threading.Thread(
            target=lambda: responses.append(http.with_token(ADMIN_TOKEN).post(PATH, files=form(), headers=key("k")))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {response.status_code for response in responses} == {201}
    assert len({response.content for response in responses}) == 1
    assert http.get("/v1/ops/pca").json()["versions"] == 1


BAD: dict[str, Any] = {
    "no bytes": {"version": (None, b"{}", routes.JSON)},
    "no version": {"bytes": ("x", DATA, routes.BYTES_TYPE)},
    "another part": form(other=("x", b"y", routes.BYTES_TYPE)),
    "bytes of another type": form(bytes=("x", DATA, "text/plain")),
    "a version of another type": form(version=(None, b"{}", "text/plain")),
    "a version without a type": form(version=(None, b"{}")),  # type: ignore[arg-type]
    "two versions": [("version", (None, b"{}", routes.JSON))] * 2,
    "bytes twice": [*form().items(), ("bytes", ("x", DATA, routes.BYTES_TYPE))],
}


@pytest.mark.parametrize("what", few(2, BAD))
def test_a_form_with_other_parts_is_refused(http: Http, watch: Watch, what: str) -> None:
    watch.mark()
    refused = http.post(PATH, files=BAD[what])
    watch.assert_problem(refused, 400, "InvalidRequest")
    assert "its parts have to be version" in refused.json()["detail"]
    watch.assert_unchanged()


@pytest.mark.parametrize("kind", few(1, [routes.FORM, f"{routes.FORM}; boundary=", f"{routes.FORM}; boundary=other"]))
@pytest.mark.parametrize("cut", [0, 1, 60, 10_000])
def test_a_form_that_ends_early_or_has_another_boundary_is_refused(
    http: Http, watch: Watch, kind: str, cut: int
) -> None:
    body, _ = encode_multipart_formdata(form(), boundary="b")  # type: ignore[arg-type]
    watch.mark()
    watch.assert_problem(http.post(PATH, data=body, headers={"Content-Type": kind}), 400, "InvalidRequest")
    whole = f"{routes.FORM}; boundary=b"
    short = http.post(PATH, data=body[: -cut - 4], headers={"Content-Type": whole})
    watch.assert_problem(short, 400, "InvalidRequest")
    watch.assert_unchanged()


def test_the_record_in_a_form_is_parsed_strictly(http: Http, watch: Watch) -> None:
    watch.mark()
    for record in (b"", b"{", b'{"no": 1}', b'{"new": true, "new": true}', b'{"message": "\xff"}', b"[]"):
        watch.assert_problem(http.post(PATH, files=form(record=record)), 400, "InvalidRequest")
    watch.assert_unchanged()


def test_only_a_push_takes_a_form(http: Http, watch: Watch) -> None:
    watch.mark()
    for path in ("/v1/links", "/v1/uploads", "/v1/tags", "/v1/pipelines"):
        watch.assert_problem(http.post(path, files=form()), 415, "UnsupportedContent")
    watch.assert_unchanged()


def test_a_read_token_can_push_nothing(http: Http, watch: Watch) -> None:
    watch.mark()
    watch.assert_problem(http.with_token(READ_TOKEN).post(PATH, files=form()), 403, "ScopeRequired")
    watch.assert_unchanged()


def test_a_part_that_is_too_large_is_refused(http: Http, watch: Watch) -> None:
    watch.mark()
    refused = http.post(PATH, files=form(b"x" * (limits.SMALL_PUSH + 1)))
    watch.assert_problem(refused, 413, "TooLarge")
    assert refused.json()["details"] == {"what": "the bytes", "size": limits.SMALL_PUSH + 1, "limit": limits.SMALL_PUSH}
    watch.assert_problem(http.post(PATH, files=form(record=b" " * (limits.MAX_JSON + 1))), 413, "TooLarge")
    watch.assert_unchanged()


@pytest.mark.parametrize(
    ("method", "path", "kind", "length"),
    few(
        1,
        [
            ("POST", PATH, routes.FORM, limits.MAX_FORM + 1),
            ("POST", PATH, routes.JSON, limits.MAX_JSON + 1),
            ("POST", "/v1/links", routes.FORM, limits.MAX_JSON + 1),
            ("PUT", PATH, routes.FORM, limits.MAX_JSON + 1),
            ("POST", f"{PATH}/1/x", routes.FORM, limits.MAX_JSON + 1),
        ],
    ),
)
def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
    listener: Listener, watch: Watch, method: str, path: str, kind: str, length: int
) -> None:
    watch.mark()
    with Raw(listener.port) as connection:
        lines = (f"Content-Type: {kind}; boundary=b", f"Content-Length: {length}")
        connection.send(head(method, path, *lines, host=connection.host, token=ADMIN_TOKEN))
        watch.assert_problem(connection.answer(), 413, "TooLarge")
        assert connection.is_closed()


def test_many_simultaneous_bodies_wait_in_files_and_not_in_memory(tmp_path: Path) -> None:
    body, kind = encode_multipart_formdata(form(b"x" * limits.SMALL_PUSH), boundary="b")  # type: ignore[arg-type]
    with daemon_process(tmp_path) as daemon:
        assert daemon.http.get("/v1/ops").status_code == 200
        before = daemon.peak()
        connections = [Raw(daemon.port) for _ in range(100)]
        try:
            for connection in connections:
                lines = (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
                connection.send(head("POST", PATH, *lines, host=connection.host, token=daemon.http.token))
                connection.send(body[:-1])
            for connection in connections[:3]:
                connection.send(body[-1:])
                assert connection.answer().status in (200, 201)
        finally:
            for connection in connections:
                connection.close()
        assert daemon.peak() - before < 48 * 1024 * 1024
