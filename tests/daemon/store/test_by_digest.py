"""Versions of a stored blob by its digest, without sending its bytes."""

import threading
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.records import NewVersion, Pushed
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.operations.ingest import LOCAL
from tests.daemon.store.test_faults import left_behind
from tests.support.new_version import new_version
from tests.support.stored_blob import stored_blob

DIGEST = digest_of(b"bytes")


def by_digest(server: OpStoreServer, op: str = "pca", digest: Digest = DIGEST, **wanted: Any) -> Pushed:
    return server.store.add_version(op, new_version(digest=digest, **wanted), LOCAL)


def test_a_blob_of_one_op_becomes_a_version_of_another(files: OpStoreServer) -> None:
    files.store.push("lda", b"bytes")
    pushed = by_digest(files, size=5, labels={"from": "lda"}, tags=("prod",), format="joblib")
    assert (pushed.version, pushed.created, pushed.digest, pushed.size) == ("1.0.0", True, DIGEST, 5)
    assert (pushed.labels, pushed.tags, pushed.format) == ({"from": "lda"}, ("prod",), "joblib")
    assert files.store.pull("pca@prod") == b"bytes"
    assert set(files.store.saver) == {DIGEST}
    assert left_behind(files) == ([], 0)


def test_a_version_by_digest_is_numbered_as_a_push_of_the_bytes(files: OpStoreServer) -> None:
    files.store.push("pca", b"bytes")
    assert (by_digest(files).version, by_digest(files).created) == ("1.0.0", False)
    files.store.push("pca", b"other")
    assert by_digest(files).version == "1.0.2", "older bytes pushed again are the latest"
    assert by_digest(files, bump="major", new=True).version == "2.0.0"
    with pytest.raises(errors.VersionConflict):
        by_digest(files, subversions=files.store.show("pca@1.0.1").subversions)


def test_a_registered_version_gets_its_bytes(files: OpStoreServer) -> None:
    files.store.push("lda", b"bytes")
    files.store.register("pca", subversions="aaaa.bbbb.cccc")
    assert by_digest(files, subversions="aaaa.bbbb.cccc").created
    assert files.store.pull("pca") == b"bytes"


MISSING: dict[str, dict[str, Any]] = {
    "nobody ever had them": {"digest": digest_of(b"others")},
    "they have another size": {"size": 4},
    "they are to be registered": {"digest": digest_of(b"others"), "subversions": "aaaa.bbbb.cccc"},
}


@pytest.mark.parametrize("why", MISSING)
def test_a_missing_blob_makes_no_version(files: OpStoreServer, why: str) -> None:
    files.store.push("lda", b"bytes")
    with pytest.raises(errors.BlobNotFound):
        by_digest(files, **MISSING[why])
    assert [op.name for op in files.store.ops()] == ["lda"]


def test_a_blob_that_no_version_has_does_not_count(files: OpStoreServer) -> None:
    """It may not be on the disk yet, or a refused push may be about to delete it."""
    files.store.uploads.prepare_small(b"bytes", DIGEST)()
    assert DIGEST in files.store.saver
    with pytest.raises(errors.BlobNotFound):
        by_digest(files)


@pytest.mark.local  # objects are not looked at
@pytest.mark.parametrize("damage", ["gone", "shorter"])
def test_a_damaged_blob_does_not_count_and_a_push_repairs_it(files: OpStoreServer, damage: str) -> None:
    files.store.push("lda", b"bytes")
    blob = stored_blob(files, DIGEST)
    if damage == "gone":
        blob.delete()
    else:
        blob.write(b"byt")
    with pytest.raises(errors.BlobNotFound):
        by_digest(files)
    files.store.push("pca", b"bytes")
    assert files.store.pull("lda") == b"bytes"


def test_a_repeated_request_makes_one_version(files: OpStoreServer) -> None:
    files.store.push("lda", b"bytes")
    bound = files.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    numbers = [bound.add_version("pca", NewVersion(digest=DIGEST, new=True), LOCAL).version for _ in range(2)]
    assert (numbers, files.store.op("pca").versions) == (["1.0.0", "1.0.0"], 1)


def test_concurrent_versions_by_digest_are_numbered_without_gaps(files: OpStoreServer) -> None:
    files.store.push("lda", b"bytes")
    threads = [threading.Thread(target=by_digest, args=(files,), kwargs={"new": True}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.sequence for version in files.store.versions("pca").versions] == list(range(8, 0, -1))
