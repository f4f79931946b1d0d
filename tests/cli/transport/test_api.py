"""The API client refuses responses that do not fit the request."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import BaseOpStoreClient
from opstore_cli.transfer import retry
from opstore_cli.transport import api
from opstore_cli.transport.interface import Body
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.digests import digest_of

BYTES = b"0123456789"
ETAG = f'"{digest_of(BYTES)}"'
VERSION = {
    "op": "pca",
    "version": "1.0.0",
    "subversions": "aaaa.aaaa.aaaa",
    "sequence": 1,
    "digest": digest_of(BYTES),
    "size": len(BYTES),
    "registered_at": "2024-05-06T07:08:09Z",
    "labels": {},
    "position": 1,
}


class CannedResponse:
    """A response. `cut`: its body ends early."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, *, cut: bool = False) -> None:
        self.status, self.headers = status, headers
        self._body, self._cut = io.BytesIO(body), cut

    def read(self, size: int, /) -> bytes:
        data = self._body.read(size)
        if not data and self._cut:
            raise errors.ConnectionLost(url="here", reason="the response ended early")
        return data

    def close(self) -> None:
        self._body.close()


class CannedClient(BaseOpStoreClient):
    """A client that gets these responses, one after the other."""

    def __init__(self, *responses: CannedResponse) -> None:
        super().__init__()
        self.responses = list(responses)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> CannedResponse:
        assert self.responses, "one request too many"
        return self.responses.pop(0)


def json(record: object, status: int = 200) -> CannedResponse:
    return CannedResponse(status, {"Content-Type": routes.JSON}, records.encode(record))


def response_of(
    body: bytes = BYTES, *, etag: str = ETAG, version: str | None = None, cut: bool = False
) -> CannedResponse:
    """Return the response to a pull, with the version's record in its headers."""
    header = records.encode(VERSION).decode() if version is None else version
    return CannedResponse(200, {"ETag": etag, routes.SERVED_RECORD: header}, body, cut=cut)


def test_a_response_with_other_bytes_is_refused() -> None:
    assert CannedClient(response_of()).pull("pca") == BYTES
    for etag, words in (
        (f'"{digest_of(b"others")}"', rf"the ETag '\"{digest_of(b'others')}\"'"),
        (f"W/{ETAG}", "the ETag 'W/"),
        ("\x1b[31m" + "a" * 500, r"the ETag '\\x1b\[31ma{95}'"),
        ("", "no ETag"),
    ):
        with pytest.raises(
            errors.UnexpectedResponse, match=f"responded with {words}.* to a request for the bytes of sha"
        ):
            CannedClient(response_of(etag=etag)).pull("pca")


def test_a_response_without_a_digest_is_requested_once(tmp_path: Path) -> None:
    """Nothing that a repetition would change."""
    client = CannedClient(response_of(etag=""), response_of())
    with pytest.raises(errors.UnexpectedResponse, match="no ETag"):
        client.pull("pca", tmp_path / "pca")
    assert (len(client.responses), list(tmp_path.iterdir())) == (1, [])


@pytest.mark.parametrize("header", ["", "{}", "no JSON", '{"op": "pca"}', "[]"])
def test_a_version_whose_record_is_not_in_the_headers_is_requested(header: str) -> None:
    assert CannedClient(response_of(version=header), json(VERSION)).pull("pca") == BYTES


def test_a_response_with_another_offset_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS", (0.0,))

    def pulled(content_range: str) -> bytes:
        return CannedClient(
            response_of(BYTES[:4], cut=True),
            CannedResponse(206, {"ETag": ETAG, "Content-Range": content_range}, BYTES[4:]),
        ).pull("pca")

    assert pulled("bytes 4-9/10") == BYTES
    for content_range in ("bytes 5-9/10", "bytes 40-49/50", "bytes 0-9/10", ""):
        words = f"the range '{content_range}'" if content_range else "a part without its range"
        with pytest.raises(errors.UnexpectedResponse, match=f"{words} to a request for .* from byte 4 on"):
            pulled(content_range)
    problem = {"title": "x", "status": 416, "detail": "the range", "code": "RangeNotSatisfiable"}
    client = CannedClient(
        response_of(BYTES[:4], cut=True), CannedResponse(416, {"Content-Type": routes.PROBLEM}, records.encode(problem))
    )
    with pytest.raises(errors.UnexpectedResponse, match=r"the status 416 to a request for .* from byte 4 on"):
        client.pull("pca")


def test_more_bytes_than_the_version_has_are_refused() -> None:
    with pytest.raises(errors.SizeMismatch):
        CannedClient(response_of(BYTES + b"more")).pull("pca")


def test_a_response_of_another_content_type_is_refused() -> None:
    for kind in ("text/html", routes.PROBLEM, ""):
        with pytest.raises(errors.DaemonUnreachable, match="not an opstore daemon"):
            CannedClient(CannedResponse(200, {"Content-Type": kind}, records.encode(VERSION))).show("pca")


def test_a_response_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(records.encode(VERSION))
    monkeypatch.setattr(api, "MAX_RESPONSE", size)
    assert CannedClient(json(VERSION)).show("pca").version == "1.0.0"
    monkeypatch.setattr(api, "MAX_RESPONSE", size - 1)
    with pytest.raises(errors.UnexpectedResponse, match="the response is too long"):
        CannedClient(json(VERSION)).show("pca")


def test_an_error_of_another_content_type_is_refused() -> None:
    problem = {"title": "x", "status": 404, "detail": "there is no op pca", "code": "OpNotFound"}
    body = records.encode(problem)
    with pytest.raises(errors.OpNotFound):
        CannedClient(CannedResponse(404, {"Content-Type": routes.PROBLEM}, body)).op("pca")
    for kind in (routes.JSON, "text/html", ""):
        with pytest.raises(errors.DaemonUnreachable, match="not an opstore daemon"):
            CannedClient(CannedResponse(404, {"Content-Type": kind}, body)).op("pca")


def test_a_list_with_a_repeated_page_is_refused() -> None:
    op = {"name": "pca", "latest": None, "versions": 0, "compat": "major"}
    page, last = {"ops": [op], "next_cursor": "pca"}, {"ops": [{**op, "name": "scaler"}]}
    assert len(CannedClient(json(page), json(last)).ops()) == 2
    with pytest.raises(errors.UnexpectedResponse, match="rows out of order, or twice"):
        CannedClient(json(page), json(page)).ops()
