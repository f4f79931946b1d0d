"""Declared digests, checksums and sizes: invalid ones are refused, and bytes that differ are not kept."""

import sqlite3
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from tests.support.http_client import Http
from tests.support.refusals import Watch

DATA = b"some bytes"
DIGEST = digest_of(DATA)
TWELVE = "xxh128:09276921dedb8fafc77bd89cae94cf89"  # of b"twelve bytes"


NO_DIGESTS = [
    "",
    "sha256:",
    DIGEST[:-1],
    DIGEST + "0",
    DIGEST.upper(),
    DIGEST.replace("sha256:", "SHA256:"),
    "sha256:" + DIGEST[7:].upper(),
    DIGEST[7:],
    "sha512:" + "a" * 128,
    "sha1:" + "a" * 40,
    "md5:" + "a" * 32,
    DIGEST + "\n",
    " " + DIGEST,
    "sha256:" + "g" * 64,
    "sha256:" + "０" * 64,
    "sha256:../" + "a" * 61,
]


def test_an_invalid_digest_is_refused_and_the_upload_stays(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA)
    watch.mark()
    for digest in NO_DIGESTS:
        response = http.post("/v1/ops/up/versions", {"upload": upload, "digest": digest})
        watch.assert_problem(response, 400, "InvalidDigest")
    response = http.post("/v1/ops/up/versions", {"upload": upload, "digest": DIGEST, "size": len(DATA)})
    assert (response.status_code, response.json()["digest"]) == (201, DIGEST)


@pytest.mark.parametrize("kept", [DATA, b""], ids=["some", "none"])
def test_bytes_with_another_digest_than_declared_are_not_kept(http: Http, watch: Watch, kept: bytes) -> None:
    upload = http.upload(kept)
    response = http.post("/v1/ops/up/versions", {"upload": upload, "digest": digest_of(b"others")})
    details = watch.assert_problem(response, 422, "DigestMismatch")
    assert details == {"actual": digest_of(kept), "expected": digest_of(b"others")}
    assert watch.files() == {}
    watch.assert_problem(http.get(f"/v1/uploads/{upload}"), 404, "UploadNotFound")
    watch.assert_problem(http.get("/v1/ops/up"), 404, "OpNotFound")


@pytest.mark.parametrize("kept", [DATA, b""], ids=["some", "none"])
def test_bytes_with_another_checksum_than_declared_are_not_kept(http: Http, watch: Watch, kept: bytes) -> None:
    upload = http.upload(kept)
    response = http.post("/v1/ops/up/versions", {"upload": upload, "checksum": checksum_of(new_sum(b"others"))})
    details = watch.assert_problem(response, 422, "ChecksumMismatch")
    assert details == {"actual": checksum_of(new_sum(kept)), "expected": checksum_of(new_sum(b"others"))}
    assert watch.files() == {}
    watch.assert_problem(http.get(f"/v1/uploads/{upload}"), 404, "UploadNotFound")
    watch.assert_problem(http.get("/v1/ops/up"), 404, "OpNotFound")


def test_bytes_with_the_declared_checksum_are_kept(http: Http) -> None:
    """The checksum is that of `xxhsum -H2`."""
    wanted = {"upload": http.upload(b"twelve bytes"), "checksum": TWELVE}
    response = http.post("/v1/ops/up/versions", wanted)
    assert (response.status_code, response.json()["digest"]) == (201, digest_of(b"twelve bytes"))


def test_an_invalid_checksum_is_refused_and_the_upload_stays(http: Http, watch: Watch) -> None:
    upload = http.upload(b"twelve bytes")
    watch.mark()
    for checksum in ("", "xxh128:", TWELVE[:-1], TWELVE + "0", TWELVE.upper(), TWELVE[7:], TWELVE + "\n", DIGEST):
        response = http.post("/v1/ops/up/versions", {"upload": upload, "checksum": checksum})
        watch.assert_problem(response, 400, "InvalidRequest")
    response = http.post("/v1/ops/up/versions", {"digest": DIGEST, "checksum": TWELVE})
    watch.assert_problem(response, 400, "InvalidRequest")
    assert http.post("/v1/ops/up/versions", {"upload": upload, "checksum": TWELVE}).status_code == 201


def test_another_number_of_bytes_than_declared_is_not_kept(http: Http, watch: Watch) -> None:
    for size in (0, len(DATA) - 1, len(DATA) + 1, 2**63 - 1):
        upload = http.upload(DATA)
        response = http.post("/v1/ops/up/versions", {"upload": upload, "size": size, "digest": DIGEST})
        assert watch.assert_problem(response, 422, "SizeMismatch") == {"actual": len(DATA), "expected": size}
        assert watch.files() == {}
        watch.assert_problem(http.get(f"/v1/uploads/{upload}"), 404, "UploadNotFound")


def test_a_stored_blob_survives_a_push_of_the_wrong_bytes(http: Http, watch: Watch) -> None:
    http.push("up", DATA)
    watch.mark()
    response = http.post("/v1/ops/up/versions", {"upload": http.upload(b"x"), "digest": DIGEST})
    watch.assert_problem(response, 422, "DigestMismatch")
    assert http.pull("up").content == DATA


def test_a_refused_push_leaves_neither_a_blob_nor_a_version(http: Http, watch: Watch) -> None:
    http.push("up", DATA, subversions="abcd.abcd.abcd")
    upload = http.upload(b"others")
    watch.mark()
    for wanted in (
        {"subversions": "abcd.abcd.abcd"},
        {"valid_for": ["down@1.0.0"]},
        {"valid_with": ["nobody"]},
        {"valid_for": ["fresh"], "valid_with": ["nobody"]},
    ):
        response = http.post("/v1/ops/up/versions", {"upload": upload, **wanted})
        assert response.status_code in (404, 409), response.text
        watch.assert_problem(response, response.status_code, response.json()["code"])


@pytest.mark.local
def test_the_database_has_the_digest_that_sha256sum_prints(http: Http, server: OpStoreServer, tmp_path: Path) -> None:
    http.push("up", DATA)
    with sqlite3.connect(tmp_path / "opstore.db") as connection:
        found = connection.execute("SELECT digest, size FROM version").fetchall()
    connection.close()
    assert found == [(DIGEST, len(DATA))]
    assert (tmp_path / "blobs" / "blobs" / DIGEST[7:9] / DIGEST[7:]).read_bytes() == DATA
