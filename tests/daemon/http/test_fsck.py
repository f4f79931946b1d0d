"""The check of the store over HTTP: pages that show progress before they come."""

import json

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.servers import READ_TOKEN, WRITE_TOKEN
from tests.support.stored_blob import stored_blob

DATA = random_bytes(2 * READ_SIZE + 10)


def test_pages_follow_each_other(http: Http) -> None:
    http.push("pca", DATA)
    checks, cursor = [], ""
    while cursor is not None:
        page = http.get(routes.FSCK, params={"data": 1, "cursor": cursor}).json()
        checks.append((page["check"], page["findings"], page["bytes_read"]))
        cursor = page["next_cursor"]
    assert checks == [
        ("database", [], 0),
        ("journal", [], 0),
        ("versions", [], 0),
        ("blobs", [], len(DATA)),
        ("storage", [], 0),
    ]


def test_a_page_begins_with_a_line_break_for_each_mebibyte(http: Http) -> None:
    http.push("pca", DATA)
    body = http.get(routes.FSCK, params={"data": 1, "cursor": "blobs"}).content
    blanks = body[: body.index(b"{")]
    assert blanks.count(b"\n") == 2
    assert len(blanks) > 2 * 1024, "a client gives up a response that comes too slowly"
    assert json.loads(body)["bytes_read"] == len(DATA)


@pytest.mark.parametrize(
    "parameters",
    [{"data": "2"}, {"subset": "0/7"}, {"rate": "0"}, {"cursor": "blobs:x"}, {"cursor": "storage:.."}, {"other": "1"}],
)
def test_other_parameters_are_refused(http: Http, parameters: dict[str, str]) -> None:
    refused = http.get(routes.FSCK, params=parameters)
    assert (refused.status_code, refused.json()["code"]) == (400, "InvalidRequest")


def test_everybody_may_check_and_an_admin_may_repair(http: Http, server: OpStoreServer) -> None:
    http.push("pca", b"bytes")
    stored_blob(server, digest_of(b"bytes")).write(b"BYTES")
    for token in (READ_TOKEN, WRITE_TOKEN):
        refused = http.with_token(token).post(routes.FSCK, params={"data": 1, "cursor": "blobs"})
        assert (refused.status_code, refused.json()["code"]) == (403, "ScopeRequired")
    found = http.with_token(READ_TOKEN).get(routes.FSCK, params={"data": 1, "cursor": "blobs"}).json()["findings"]
    assert [(each["kind"], each["marked"]) for each in found] == [("damaged", False)]
    assert digest_of(b"bytes") in server.store.saver
    repaired = http.post(routes.FSCK, params={"data": 1, "cursor": "blobs"}).json()["findings"]
    assert [(each["kind"], each["marked"]) for each in repaired] == [("damaged", True)]
    assert digest_of(b"bytes") not in server.store.saver
    damaged = http.pull("pca")
    assert (damaged.status_code, damaged.json()["code"]) == (500, "BlobDamaged")
    assert server.store.reads.running == 0
