"""A push of bytes that the store has: one request without them, or what was sent of them is thrown away."""

import os
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient, hashing_ahead, uploads
from opstore_daemon.protocol.digests import Digest, digest_of
from tests.conftest import ADMIN_TOKEN, READ_TOKEN, Http
from tests.http.refusals import Watch

PATH = "/v1/ops/pca/versions"
DATA = b"some bytes"
RECORD = {"digest": digest_of(DATA), "size": len(DATA)}


def test_a_digest_alone_makes_a_version_of_bytes_that_are_there(http: Http) -> None:
    http.push("lda", DATA)
    made = http.post(PATH, json=RECORD)
    assert (made.status_code, made.headers["Location"]) == (201, f"{PATH}/1.0.0")
    assert http.pull("pca").content == DATA
    again = http.post(PATH, json=RECORD)
    assert (again.status_code, again.json()["created"]) == (200, False)


def test_a_digest_of_bytes_that_are_not_there_is_not_found(http: Http, watch: Watch) -> None:
    details = watch.assert_problem(http.post(PATH, json=RECORD), 404, "BlobNotFound")
    assert details == {"digest": digest_of(DATA)}
    watch.assert_unchanged()


def test_a_token_that_may_only_read_makes_nothing_of_them(http: Http, watch: Watch) -> None:
    http.push("lda", DATA)
    watch.mark()
    watch.assert_problem(http.with_token(READ_TOKEN).post(PATH, json=RECORD), 403, "ScopeRequired")
    watch.assert_unchanged()


@pytest.mark.parametrize("looks", [0, 3])
def test_a_client_sends_no_more_from_when_it_knows(
    http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, looks: int
) -> None:
    class Known(hashing_ahead.HashingAhead):
        looked = -1

        @property
        def digest(self) -> Digest | None:
            self._thread.join()
            self.looked += 1
            return super().digest if self.looked >= looks else None

    data = os.urandom(12_000_000)
    path = tmp_path / "source"
    path.write_bytes(data)
    moved: list[int] = []
    with OpStoreClient(http.url, token=ADMIN_TOKEN, progress=lambda done, _all: moved.append(done)) as client:
        client.push("lda", data)
        monkeypatch.setattr(uploads, "cores", lambda: hashing_ahead.SPARE)
        monkeypatch.setattr(uploads, "HashingAhead", Known)
        del moved[:]
        assert client.push("pca", path).number == "1.0.0"
        assert client.pull("pca") == data
        assert not client.push("pca", path).created
    expected = [*(piece << 20 for piece in range(looks + 1)), 12_000_000]
    assert moved[: len(expected)] == expected
