"""A failure between the first byte and the response leaves all of a push or none of it, and is reported."""

import errno
import io
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.records import NewVersion, Pushed
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.idempotency import IdempotentRequest
from tests.daemon.store.conftest import Make
from tests.support.collisions import with_collision
from tests.support.faults import commit_fails, fails
from tests.support.new_version import new_version
from tests.support.places import Place

LOCAL = "local"

pytestmark = pytest.mark.local  # faults of the disk, of files and of SQLite


def uploaded(server: OpStoreServer, data: bytes) -> str:
    """Create an upload of undeclared size with these bytes; return its id."""
    upload = server.store.uploads.create(LOCAL, None).upload
    append(server, upload, 0, data)
    return upload


def append(server: OpStoreServer, upload: str, offset: int, data: bytes) -> None:
    """Append bytes to an upload."""
    writer = server.store.uploads.writer(upload, LOCAL, offset, None)
    writer.append(data)
    writer.close()


def wanted(upload: str, data: bytes | None = None, **more: Any) -> NewVersion:
    """Return the request for a version of the upload, with its digest if the bytes are given."""
    declared: dict[str, Any] = {} if data is None else {"digest": digest_of(data), "size": len(data)}
    return new_version(upload=upload, **declared, **more)


def nothing_is_there(server: OpStoreServer) -> bool:
    """Return whether the store has no op, version, link or entry."""
    with server.db.read() as connection:
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()  # noqa: S608
            for table in ("op", "version", "link", "label", "journal", "answer")
        ]
        position = connection.exec_driver_sql("SELECT position FROM counter").scalar_one()
    return (sum(counts), position) == (0, 0)


# --- the commit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("happened", [False, True])
def test_a_retry_with_the_same_key_settles_a_commit_that_failed(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    upload = uploaded(files, b"bytes")
    request = wanted(upload, b"bytes", new=True, valid_for=("forest@any",), new_ops="major")
    bound = files.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    with commit_fails(files.db, monkeypatch, happened=happened), pytest.raises(errors.OutcomeUnknown):
        bound.add_version("pca", request, LOCAL)
    assert nothing_is_there(files) is not happened
    pushed = bound.add_version("pca", request, LOCAL)
    assert (pushed.version, pushed.created) == ("1.0.0", True)
    assert bound.add_version("pca", request, LOCAL) == pushed
    assert files.store.op("pca").versions == 1
    assert len(files.store.links()) == 1
    assert files.store.pull("pca") == b"bytes"


def test_a_key_of_another_request_is_refused(files: OpStoreServer) -> None:
    files.store.idempotent(IdempotentRequest(LOCAL, "key", "request")).register("pca", subversions="aaaa.aaaa.aaaa")
    with pytest.raises(errors.KeyReused):
        files.store.idempotent(IdempotentRequest(LOCAL, "key", "another")).register("pca", subversions="aaaa.aaaa.bbbb")
    assert (
        files.store.idempotent(IdempotentRequest("somebody", "key", "another"))
        .register("pca", subversions="aaaa.aaaa.cccc")
        .created
    )
    assert files.store.op("pca").versions == 2


def test_every_writing_verb_is_idempotent_by_key(files: OpStoreServer) -> None:
    store = files.store
    first = store.idempotent(IdempotentRequest(LOCAL, "1", "r")).register("pca", subversions="aaaa.aaaa.aaaa")
    assert store.idempotent(IdempotentRequest(LOCAL, "1", "r")).register("pca", subversions="aaaa.aaaa.aaaa") == first
    assert first.created
    store.register("forest", subversions="aaaa.aaaa.aaaa")
    store.idempotent(IdempotentRequest(LOCAL, "2", "r")).link("pca", "forest@any")
    revoked = store.idempotent(IdempotentRequest(LOCAL, "3", "r")).unlink("pca", "forest@any")
    assert store.idempotent(IdempotentRequest(LOCAL, "3", "r")).unlink("pca", "forest@any") == revoked
    assert store.idempotent(IdempotentRequest(LOCAL, "2", "r")).link("pca", "forest@any") == revoked
    assert store.links() == []
    made = store.idempotent(IdempotentRequest(LOCAL, "4", "r")).register_pipeline("p", ["pca", "forest"])
    assert store.idempotent(IdempotentRequest(LOCAL, "4", "r")).register_pipeline("p", ["pca", "forest"]) == made
    store.idempotent(IdempotentRequest(LOCAL, "5", "r")).remove_pipeline("p")
    store.idempotent(IdempotentRequest(LOCAL, "5", "r")).remove_pipeline("p")
    changed = store.idempotent(IdempotentRequest(LOCAL, "6", "r")).set_op("pca", compat="minor")
    store.set_op("pca", compat="exact")
    assert store.idempotent(IdempotentRequest(LOCAL, "6", "r")).set_op("pca", compat="minor") == changed
    assert store.op("pca").compat == "exact"


def test_a_result_is_kept_for_a_day(place: Place) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    server = place.open(clock=lambda: now)
    once = IdempotentRequest(LOCAL, "key", "r")
    assert server.store.idempotent(once).register("pca", subversions="aaaa.aaaa.aaaa").created
    now += timedelta(hours=23)
    server.store.idempotent(IdempotentRequest(LOCAL, "other", "r")).register("lda", subversions="aaaa.aaaa.aaaa")
    assert server.store.idempotent(once).register("pca", subversions="aaaa.aaaa.aaaa").created
    now += timedelta(hours=2)
    server.store.idempotent(IdempotentRequest(LOCAL, "third", "r")).register("lda", subversions="aaaa.aaaa.aaaa")
    assert not server.store.idempotent(once).register("pca", subversions="aaaa.aaaa.aaaa").created
    server.close()


# --- the collector ------------------------------------------------------------------------------------------------


def collected(server: OpStoreServer, monkeypatch: pytest.MonkeyPatch, times: int) -> list[Digest]:
    """Delete blobs right after their publication, `times` times, as a collector may; return the deleted ones."""
    taken = list[Digest]()

    def overtaken(publish: Callable[..., Any]) -> Callable[..., Any]:
        def published(*arguments: Any) -> Any:
            result = publish(*arguments)
            if len(taken) < times:
                digest = arguments[-1]
                server.store.saver.delete(digest)
                taken.append(digest)
            return result

        return published

    for way in ("publish", "prepare_small"):
        monkeypatch.setattr(server.store.uploads, way, overtaken(getattr(server.store.uploads, way)))
    return taken


def pushed_either_way(server: OpStoreServer, *, whole: bool) -> Pushed:
    """Push small bytes with the request, or an upload."""
    return server.store.push(
        "pca", b"bytes" if whole else io.BytesIO(b"bytes"), valid_for=["forest@any"], new_ops="major"
    )


@pytest.mark.parametrize("whole", [True, False])
def test_a_blob_that_a_collector_deleted_before_the_transaction_is_published_again(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    taken = collected(files, monkeypatch, times=2)
    pushed = pushed_either_way(files, whole=whole)
    assert taken == [pushed.digest] * 2
    assert (pushed.version, files.store.pull("pca")) == ("1.0.0", b"bytes")
    assert pushed.digest in files.store.saver


@pytest.mark.parametrize("whole", [True, False])
def test_a_blob_that_is_deleted_each_time_fails_the_push_and_leaves_nothing(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    collected(files, monkeypatch, times=99)
    with pytest.raises(errors.StorageFailed):
        pushed_either_way(files, whole=whole)
    assert nothing_is_there(files)


# --- the disk -----------------------------------------------------------------------------------------------------


def limit_pages(server: OpStoreServer, more: int | None) -> None:
    """Limit the database to so many more pages; None removes the limit."""
    connection = server.db.engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute("PRAGMA page_count")
    pages = cursor.fetchall()[0][0]
    cursor.execute(f"PRAGMA max_page_count = {2**30 if more is None else pages + more}")
    connection.close()


def refused_for_space(server: OpStoreServer, request: NewVersion) -> None:
    """Check that the push is refused because the disk is full, and that nothing of it stays."""
    with pytest.raises(errors.StorageFull):
        server.store.add_version("pca", request, LOCAL)
    assert nothing_is_there(server)
    assert set(server.store.saver) == set(), "a refused push frees its bytes"
    assert left_behind(server) == ([], 0)


def test_a_full_disk_refuses_the_push_and_frees_what_it_took(files: OpStoreServer) -> None:
    upload = uploaded(files, b"bytes")
    request = wanted(upload, b"bytes", message="x" * 60_000, valid_for=("forest@any",), new_ops="major")
    limit_pages(files, 2)
    refused_for_space(files, request)
    limit_pages(files, None)
    with pytest.raises(errors.UploadNotFound):
        files.store.add_version("pca", request, LOCAL)
    assert files.store.add_version("pca", wanted(uploaded(files, b"bytes")), LOCAL).version == "1.0.0"


def test_a_disk_that_fills_up_after_the_publication_leaves_nothing(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = files.store.uploads.publish

    def fill(upload: str, owner: str, digest: Digest) -> None:
        publish(upload, owner, digest)
        limit_pages(files, 2)

    monkeypatch.setattr(files.store.uploads, "publish", fill)
    refused_for_space(files, wanted(uploaded(files, b"bytes"), b"bytes", message="x" * 60_000))
    monkeypatch.undo()
    limit_pages(files, None)
    assert files.store.add_version("pca", wanted(uploaded(files, b"bytes")), LOCAL).version == "1.0.0"
    assert files.store.pull("pca") == b"bytes"


def test_a_failed_sync_of_the_bytes_makes_no_version_and_the_upload_starts_again(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploaded(files, b"bytes")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails(errno.EIO))
        with pytest.raises(errors.StorageFailed):
            files.store.add_version("pca", wanted(upload, b"bytes"), LOCAL)
    assert nothing_is_there(files)
    assert set(files.store.saver) == set()
    assert files.store.uploads.claim(upload, LOCAL).offset == 0, "bytes that were not synced are not used"
    append(files, upload, 0, b"bytes")
    assert files.store.add_version("pca", wanted(upload, b"bytes"), LOCAL).version == "1.0.0"
    assert files.store.pull("pca") == b"bytes"


@pytest.mark.parametrize("synced", [1, 2])
def test_a_failed_sync_of_a_folder_makes_no_version_and_the_upload_can_be_finished(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, synced: int
) -> None:
    """The file is synced first, then the folder of all blob folders, and last the folder with the new name."""
    upload = uploaded(files, b"bytes")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails_after(os.fsync, synced))
        with pytest.raises(errors.StorageFailed):
            files.store.add_version("pca", wanted(upload, b"bytes"), LOCAL)
    assert nothing_is_there(files)
    assert files.store.add_version("pca", wanted(upload, b"bytes"), LOCAL).version == "1.0.0"
    assert files.store.pull("pca") == b"bytes"


def fails_after(fsync: Any, times: int) -> Any:
    """Return an fsync that succeeds so many times and then fails."""
    calls = iter([fsync] * times)

    def call(descriptor: int) -> None:
        next(calls, fails(errno.EIO))(descriptor)

    return call


@pytest.mark.parametrize("sized", [False, True])
def test_the_rest_of_a_damaged_upload_is_not_taken_for_all_of_it(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, sized: bool
) -> None:
    """A retry of a request that declares no digest, as an HTTP library may make by itself."""
    upload = files.store.uploads.create(LOCAL, 5 if sized else None).upload
    append(files, upload, 0, b"bytes")
    bound = files.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails(errno.EIO))
        with pytest.raises(errors.StorageFailed):
            bound.add_version("pca", wanted(upload), LOCAL)
    with pytest.raises(errors.Conflict):
        bound.add_version("pca", wanted(upload), LOCAL)
    assert nothing_is_there(files)
    append(files, upload, files.store.uploads.claim(upload, LOCAL).offset, b"bytes")
    assert bound.add_version("pca", wanted(upload), LOCAL).size == 5


def test_after_a_restart_an_upload_without_a_checksum_is_not_finished_until_its_offset_is_read(
    make_server: Make,
) -> None:
    server = make_server(FileSaver)
    upload = uploaded(server, b"bytes")
    server.close()
    again = make_server(FileSaver)
    with pytest.raises(errors.UploadNotOpen):
        again.store.add_version("pca", wanted(upload), LOCAL)
    assert again.store.uploads.claim(upload, LOCAL).offset == 5
    assert again.store.add_version("pca", wanted(upload), LOCAL).size == 5


def test_an_upload_with_a_declared_digest_is_finished_after_a_restart(make_server: Make) -> None:
    server = make_server(FileSaver)
    upload = uploaded(server, b"bytes")
    server.close()
    pushed = make_server(FileSaver).store.add_version("pca", wanted(upload, b"bytes"), LOCAL)
    assert (pushed.size, pushed.digest) == (5, digest_of(b"bytes"))


def test_an_upload_that_was_begun_before_a_restart_is_read_again_and_held_against_its_digest(make_server: Make) -> None:
    one, other = with_collision(bytes(range(256)) * 8)
    for last in (b"", b"the rest"):
        server = make_server(FileSaver)
        upload = uploaded(server, one)
        server.close()
        again = make_server(FileSaver)
        assert again.store.uploads.claim(upload, LOCAL).offset == len(one)
        append(again, upload, len(one), last)
        request = new_version(upload=upload, digest=digest_of(other + last), checksum=checksum_of(new_sum(one + last)))
        with pytest.raises(errors.DigestMismatch):
            again.store.add_version("pca", request, LOCAL)
        assert nothing_is_there(again)
        assert left_behind(again) == ([], 0)
        again.close()


# --- what was refused ---------------------------------------------------------------------------------------------


def test_a_refused_upload_leaves_no_blob_and_can_be_pushed_again(files: OpStoreServer) -> None:
    upload = uploaded(files, b"bytes")
    with pytest.raises(errors.OpNotFound):
        files.store.add_version("pca", wanted(upload, valid_for=("forest@1",)), LOCAL)
    assert nothing_is_there(files)
    assert set(files.store.saver) == set()
    assert (
        files.store.add_version("pca", wanted(upload, valid_for=("forest@any",), new_ops="major"), LOCAL).version
        == "1.0.0"
    )
    assert files.store.pull("pca") == b"bytes"


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"digest": "sha256:" + "0" * 64}, errors.DigestMismatch),
        ({"size": 4}, errors.SizeMismatch),
        ({"digest": "sha256:xyz"}, errors.InvalidDigest),
    ],
)
def test_bytes_that_differ_from_what_was_declared_are_deleted(
    files: OpStoreServer, declared: dict[str, Any], error: type[errors.OpStoreError]
) -> None:
    upload = uploaded(files, b"bytes")
    with pytest.raises(error):
        files.store.add_version("pca", new_version(upload=upload, **declared), LOCAL)
    assert nothing_is_there(files)
    assert set(files.store.saver) == set()
    if issubclass(error, errors.IntegrityFailure):
        assert list(files.store.saver.drafts()) == []
        with pytest.raises(errors.UploadNotFound):
            files.store.uploads.claim(upload, LOCAL)


class Torn(io.BytesIO):
    """A source that returns a piece and then fails."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise OSError("the cable was pulled")
        return piece


def test_a_source_that_fails_leaves_no_upload_behind(files: OpStoreServer) -> None:
    with pytest.raises(OSError, match="cable"):
        files.store.push("pca", Torn(b"some"))
    assert nothing_is_there(files)
    assert left_behind(files) == ([], 0)


def test_a_push_in_process_leaves_no_upload_whether_it_succeeds_or_not(files: OpStoreServer) -> None:
    files.store.push("pca", b"bytes")
    assert left_behind(files) == ([], 0)
    with pytest.raises(errors.OpNotFound):
        files.store.push("pca", b"other", valid_for=["forest@1"])
    with pytest.raises(errors.InvalidName):
        files.store.push("PCA", b"other")
    assert left_behind(files) == ([], 0)


def left_behind(server: OpStoreServer) -> tuple[list[str], int]:
    """Return the drafts, and the number of uploads in the database."""
    with server.db.read() as connection:
        booked: int = connection.exec_driver_sql("SELECT count(*) FROM upload").scalar_one()
    return list(server.store.saver.drafts()), booked


# --- bytes on their way out ---------------------------------------------------------------------------------------


@pytest.mark.local
@pytest.mark.parametrize("damage", ["changed", "shortened", "lengthened", "gone"])
def test_damaged_bytes_are_never_returned(files: OpStoreServer, damage: str) -> None:
    pushed = files.store.push("pca", b"bytes " * 500_000)
    assert pushed.digest is not None
    saver = files.store.saver
    assert isinstance(saver, FileSaver)
    digits = pushed.digest.removeprefix("sha256:")
    path = saver.root / "blobs" / digits[:2] / digits
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    if damage == "changed":
        data[-1] ^= 1
    elif damage == "shortened":
        del data[-1]
    else:
        data.append(0)
    path.write_bytes(data)
    if damage == "gone":
        path.unlink()
    with pytest.raises(errors.BlobDamaged):
        files.store.pull("pca")
    mended = files.store.push("pca", b"bytes " * 500_000)
    assert not mended.created
    assert files.store.pull("pca") == b"bytes " * 500_000


def test_drafts_that_a_crash_left_are_deleted_at_the_next_start(make_server: Make) -> None:
    server = make_server(FileSaver)
    known = uploaded(server, b"known")
    server.store.saver.draft("0" * 32).close()
    server.close()
    assert list(make_server(FileSaver).store.saver.drafts()) == [known]


def test_an_upload_expires_after_a_week_without_requests(place: Place) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    server = place.open(clock=lambda: now)
    old = uploaded(server, b"old")
    now += timedelta(days=4)
    young = uploaded(server, b"young")
    asked = server.store.uploads.claim(old, LOCAL)
    now += timedelta(days=4)
    server.store.uploads.expire()
    assert asked.offset == 3
    assert sorted(server.store.saver.drafts()) == sorted([old, young])
    now += timedelta(days=4)
    server.store.uploads.expire()
    assert list(server.store.saver.drafts()) == []
    with pytest.raises(errors.UploadNotFound):
        server.store.add_version("pca", wanted(old), LOCAL)
    server.close()


def test_an_upload_belongs_to_its_owner_alone(files: OpStoreServer) -> None:
    upload = uploaded(files, b"bytes")
    for ask in (files.store.uploads.claim, files.store.uploads.discard):
        with pytest.raises(errors.UploadNotFound):
            ask(upload, "somebody")
    with pytest.raises(errors.UploadNotFound):
        files.store.add_version("pca", wanted(upload), "somebody")
    told: Pushed = files.store.add_version("pca", wanted(upload), LOCAL)
    assert told.size == 5
