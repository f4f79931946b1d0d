"""Small pushes need no upload: one transaction, and nothing is left of a refused one."""

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import NewVersion
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.system import full_disk
from tests.daemon.store.conftest import Make
from tests.daemon.store.test_faults import left_behind, nothing_is_there
from tests.support.faults import Crash, commit_fails, fails
from tests.support.figures import few
from tests.support.new_version import new_version

LOCAL = "local"


def add(server: OpStoreServer, data: bytes, op: str = "pca", **wanted: Any) -> str:
    """Push these bytes; return the version number."""
    return server.store.add_version(op, new_version(**wanted), LOCAL, data).version


def test_a_small_push_leaves_a_blob_and_a_version_and_no_upload(files: OpStoreServer) -> None:
    assert [add(files, data) for data in (b"one", b"two", b"two")] == ["1.0.0", "1.0.1", "1.0.1"]
    assert files.store.pull("pca@1.0.0") == b"one"
    assert set(files.store.saver) == {digest_of(b"one"), digest_of(b"two")}
    assert left_behind(files) == ([], 0)


REFUSALS: dict[str, tuple[type[errors.OpStoreError], dict[str, Any]]] = {
    "a reference that finds nothing": (errors.OpNotFound, {"valid_for": ("forest@1",)}),
    "other bytes under a stored version": (errors.VersionConflict, {"subversions": "aaaa.aaaa.aaaa"}),
    "another digest": (errors.DigestMismatch, {"digest": digest_of(b"other")}),
    "another checksum": (errors.ChecksumMismatch, {"checksum": checksum_of(new_sum(b"other"))}),
    "another size": (errors.SizeMismatch, {"size": 4}),
    "what is no digest": (errors.InvalidDigest, {"digest": "sha256:xyz"}),
    "an upload beside the bytes": (errors.InvalidRequest, {"upload": "0" * 32}),
}


@pytest.mark.parametrize("what", few(2, REFUSALS))
def test_a_refused_small_push_leaves_nothing(files: OpStoreServer, what: str) -> None:
    error, wanted = REFUSALS[what]
    add(files, b"stored", subversions="aaaa.aaaa.aaaa")
    with pytest.raises(error):
        add(files, b"bytes", **wanted)
    assert set(files.store.saver) == {digest_of(b"stored")}
    assert left_behind(files) == ([], 0)
    assert files.store.op("pca").versions == 1


def test_a_blob_of_another_version_stays_when_a_push_of_it_is_refused(files: OpStoreServer) -> None:
    add(files, b"bytes", op="lda")
    with pytest.raises(errors.OpNotFound):
        add(files, b"bytes", valid_for=("forest@1",))
    assert files.store.pull("lda") == b"bytes"


@pytest.mark.local  # a commit of SQLite fails
@pytest.mark.parametrize("happened", [False, True])
def test_the_blob_stays_if_the_outcome_of_the_commit_is_unknown(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    """A commit that failed may turn out to have happened at the next start, and then the version needs its bytes."""
    bound = files.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    with commit_fails(files.db, monkeypatch, happened=happened), pytest.raises(errors.OutcomeUnknown):
        bound.add_version("pca", NewVersion(new=True), LOCAL, b"bytes")
    assert nothing_is_there(files) is not happened
    assert set(files.store.saver) == {digest_of(b"bytes")}
    pushed = bound.add_version("pca", NewVersion(new=True), LOCAL, b"bytes")
    assert (pushed.version, pushed.created, files.store.op("pca").versions) == ("1.0.0", True, 1)
    assert files.store.pull("pca") == b"bytes"


@pytest.mark.local
@pytest.mark.parametrize("fault", ["fsync", "link", "pwrite"])
def test_a_disk_error_leaves_nothing_and_the_next_push_succeeds(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, fault, fails(errno.EIO))
        with pytest.raises(errors.StorageFailed):
            add(files, b"bytes")
    assert nothing_is_there(files)
    assert set(files.store.saver) == set()
    assert left_behind(files) == ([], 0)
    assert add(files, b"bytes") == "1.0.0"


def test_a_small_push_without_disk_space_is_refused_before_it_is_written(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.store.saver, "free", lambda: full_disk.MARGIN + 4)
    with pytest.raises(errors.StorageFull):
        add(files, b"bytes")
    assert add(files, b"byte") == "1.0.0"


@pytest.mark.local
@pytest.mark.parametrize("last", ["append", "publish"])
def test_a_crash_leaves_at_most_a_blob_without_a_version(
    make_server: Make, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    server = make_server(FileSaver)
    saver = server.store.saver
    monkeypatch.setattr(saver, "discard", lambda _upload: None)  # the process has crashed before
    draft = saver.draft

    def crashing(upload: str) -> Any:
        made = draft(upload)
        for name in ("append", "publish"):
            monkeypatch.setattr(made, name, crashes_after(getattr(made, name), now=name == last), raising=False)
        return made

    monkeypatch.setattr(saver, "draft", crashing)
    with pytest.raises(Crash):
        add(server, b"bytes", valid_for=("forest@any",), new_ops="major")
    monkeypatch.undo()
    server.close()
    again = make_server(FileSaver)
    assert left_behind(again) == ([], 0)
    assert nothing_is_there(again)
    assert set(again.store.saver) <= {digest_of(b"bytes")}
    assert add(again, b"bytes", valid_for=("forest@any",), new_ops="major") == "1.0.0"
    assert again.store.pull("pca") == b"bytes"


def crashes_after(call: Callable[..., None], *, now: bool) -> Callable[..., None]:
    """Return the call; after it, if it is the last one, the process crashes."""

    def called(*arguments: Any) -> None:
        call(*arguments)
        if now:
            raise Crash

    return called
