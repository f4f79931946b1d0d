"""What survives `kill -9`."""

import hashlib

import pytest

from opstore_daemon.protocol import routes
from tests.daemon.process.conftest import Start

pytestmark = pytest.mark.process


def test_an_upload_resumes_after_kill_9(start: Start) -> None:
    data = hashlib.sha256(b"seed").digest() * 50_000
    first = start()
    upload = first.begin_upload(len(data))
    assert first.append(upload, 0, data[:700_001]) == 700_001
    first.kill()
    second = start()
    path = routes.path(routes.UPLOAD, upload=upload)
    status, refused = second.ask("PATCH", path, data[700_001:], Upload_Offset="700001")
    assert (status, refused["code"]) == (409, "UploadNotOpen")
    status, told = second.ask("GET", path)
    assert (status, told["offset"], told["size"]) == (200, 700_001, len(data))
    assert second.append(upload, 700_001, data[700_001:]) == len(data)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    status, pushed = second.ask("POST", routes.path(routes.VERSIONS, op="pca"), {"upload": upload, "digest": digest})
    assert (status, pushed["digest"]) == (201, digest)
    assert second.pull("pca") == data


def test_acknowledged_pushes_survive_kill_9(start: Start) -> None:
    first = start()
    for n in range(5):
        first.push("pca", b"%d" % n, valid_for=["forest@any"], new_ops="major")
    first.kill()
    second = start()
    assert [second.pull("pca", f"1.0.{n}") for n in range(5)] == [b"%d" % n for n in range(5)]
    assert len(second.ask("GET", routes.LINKS)[1]["links"]) == 5


def test_requests_are_idempotent_across_kill_9(start: Start) -> None:
    first = start()
    upload = first.begin_upload()
    first.append(upload, 0, b"bytes")
    asked = (routes.path(routes.VERSIONS, op="pca"), {"upload": upload, "new": True})
    status, pushed = first.ask("POST", *asked, Idempotency_Key="the same")
    assert status == 201
    first.kill()
    second = start()
    assert second.ask("POST", *asked, Idempotency_Key="the same") == (201, pushed)
    assert second.ask("GET", routes.path(routes.OP, op="pca"))[1]["versions"] == 1
