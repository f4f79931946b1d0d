"""A push of bytes that the store has: one request without them, or the sent part is discarded."""

import threading
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.samples import BLOCK
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.store.ingest.uploads import Uploads
from tests.support.fake_daemon import sample_of_bytes
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.servers import ADMIN_TOKEN, READ_TOKEN, TIMEOUT
from tests.support.stored_blob import StoredBlob, stored_blob

PATH = "/v1/ops/pca/versions"
DATA = b"some bytes"
RECORD = {"digest": digest_of(DATA), "size": len(DATA)}


def test_a_digest_alone_makes_a_version_of_a_stored_blob(http: Http) -> None:
    http.push("lda", DATA)
    made = http.post(PATH, json=RECORD)
    assert (made.status_code, made.headers["Location"]) == (201, f"{PATH}/1.0.0")
    assert http.pull("pca").content == DATA
    again = http.post(PATH, json=RECORD)
    assert (again.status_code, again.json()["created"]) == (200, False)


def test_a_digest_of_no_stored_blob_is_not_found(http: Http, watch: Watch) -> None:
    details = watch.assert_problem(http.post(PATH, json=RECORD), 404, "BlobNotFound")
    assert details == {"digest": digest_of(DATA)}
    watch.assert_unchanged()


def test_a_read_token_can_make_no_version_of_a_blob(http: Http, watch: Watch) -> None:
    http.push("lda", DATA)
    watch.mark()
    watch.assert_problem(http.with_token(READ_TOKEN).post(PATH, json=RECORD), 403, "ScopeRequired")
    watch.assert_unchanged()


@pytest.mark.parametrize("kind", ["a path", "bytes"])
def test_a_client_sends_no_bytes_that_the_store_has(
    http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    data = random_bytes(12_000_000)
    path = tmp_path / "source"
    path.write_bytes(data)
    with OpStoreClient(http.url, token=ADMIN_TOKEN) as client:
        client.push("lda", data)
        monkeypatch.setattr(Uploads, "plan", None)
        source = path if kind == "a path" else data
        assert client.push("pca", source).version == "1.0.0"
        assert not client.push("pca", source).created
        assert client.pull("pca") == data


# --- samples --------------------------------------------------------------------------------------------------------


def blobs_of(http: Http, sample: str) -> list[dict[str, Any]]:
    response = http.get(routes.BLOBS, params={"sample": sample})
    assert response.status_code == 200
    blobs: list[dict[str, Any]] = response.json()["blobs"]
    return blobs


@pytest.mark.parametrize("size", few(1, [0, 1, 70_000, 3_000_000]))
def test_a_blob_is_found_by_its_sample_as_long_as_a_version_has_it(http: Http, size: int) -> None:
    data = random_bytes(size)
    assert blobs_of(http, sample_of_bytes(data)) == []
    upload = http.upload(data)
    assert blobs_of(http, sample_of_bytes(data)) == [], "it is no version yet"
    for op in ("up", "down"):
        http.post(f"/v1/ops/{op}/versions", {"upload": upload})
        assert blobs_of(http, sample_of_bytes(data)) == [{"digest": digest_of(data), "size": size}]
        upload = http.upload(data)


def test_a_blob_of_a_registered_version_is_found_by_its_sample(http: Http) -> None:
    data = random_bytes(2_000_000)
    fields = {"major": {"a": "b"}}
    http.post(PATH, {"fields": fields})
    http.push("pca", data, fields=fields)
    assert [blob["digest"] for blob in blobs_of(http, sample_of_bytes(data))] == [digest_of(data)]


def test_all_blobs_with_the_same_sample_are_listed(http: Http) -> None:
    first = random_bytes(2_000_000)
    other = first[:BLOCK] + b"!" + first[BLOCK + 1 :]
    assert sample_of_bytes(first) == sample_of_bytes(other)
    for data in (first, other):
        http.push("up", data)
    assert {blob["digest"] for blob in blobs_of(http, sample_of_bytes(first))} == {digest_of(first), digest_of(other)}


def test_damaged_blobs_are_omitted_if_only_intact_ones_are_requested(http: Http, server: OpStoreServer) -> None:
    data = random_bytes(3_000_000)
    http.push("up", data)
    response = http.get(routes.BLOBS, params={"sample": sample_of_bytes(data), "intact": 1})
    assert response.content.startswith(b"   {"), "a blank for each piece"
    assert [blob["digest"] for blob in response.json()["blobs"]] == [digest_of(data)]
    damage(stored_blob(server, digest_of(data)))
    assert http.get(routes.BLOBS, params={"sample": sample_of_bytes(data), "intact": 1}).json() == {"blobs": []}
    assert blobs_of(http, sample_of_bytes(data)), "that they are damaged is known to who reads them"


def test_the_response_begins_before_the_blobs_are_verified(
    http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, go_on = random_bytes(3_000_000), threading.Event()
    http.push("up", data)
    read = BlobReader.read_piece

    def slowly(reader: BlobReader) -> bytes:
        piece = read(reader)
        if not piece:
            assert go_on.wait(TIMEOUT)
        return piece

    monkeypatch.setattr(BlobReader, "read_piece", slowly)
    with Raw(listener.port) as connection:
        connection.send(head("GET", f"{routes.BLOBS}?sample={sample_of_bytes(data)}&intact=1", host=connection.host))
        assert connection.socket.recv(4) == b"HTTP"
        go_on.set()
        assert b"200 OK" in connection.socket.recv(100)


def test_a_push_of_the_same_bytes_repairs_a_damaged_blob(http: Http, server: OpStoreServer) -> None:
    data = random_bytes(3_000_000)
    with OpStoreClient(http.url, token=ADMIN_TOKEN) as client:
        client.push("pca", data)
        damage(stored_blob(server, digest_of(data)))
        with pytest.raises(errors.IntegrityFailure):
            client.pull("pca")
        assert not client.push("pca", data).created
        assert client.pull("pca") == data


def damage(blob: StoredBlob) -> None:
    """Change a byte that is in none of the blocks of the sample."""
    data = bytearray(blob.read())
    data[BLOCK + 1] ^= 1
    blob.write(bytes(data))


def test_bytes_sent_with_a_small_push_have_no_sample(http: Http) -> None:
    with OpStoreClient(http.url, token=ADMIN_TOKEN) as client:
        client.push("pca", DATA)
    assert blobs_of(http, sample_of_bytes(DATA)) == []


def test_an_invalid_sample_is_refused(http: Http, watch: Watch) -> None:
    right = sample_of_bytes(DATA)
    for sample in ("", "xxh128:", right[:-1], right + "0", right.upper(), right[7:], right + "\n", digest_of(DATA)):
        watch.assert_problem(http.get(routes.BLOBS, params={"sample": sample}), 400, "InvalidRequest")
    watch.assert_problem(http.get(routes.BLOBS), 400, "InvalidRequest")
    watch.assert_unchanged()


def test_a_read_token_can_list_blobs(http: Http, watch: Watch) -> None:
    assert blobs_of(http.with_token(READ_TOKEN), sample_of_bytes(DATA)) == []
    watch.assert_problem(
        http.with_token(None).get(f"{routes.BLOBS}?sample={sample_of_bytes(DATA)}"), 401, "TokenRequired"
    )
