"""A store moves to an object store and back; the database records the objects, and one bucket has one store."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.migration import blobs
from opstore_daemon.migration.moving import migrate
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Moved, Problem
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.object_store.batch import ObjectBatch
from opstore_daemon.store.object_records import DatabaseObjectRecords
from tests.daemon.migration.test_crashes import STEPS, failing, killed
from tests.daemon.migration.test_moving import empty_place, needed
from tests.support.faults import Crash
from tests.support.figures import few
from tests.support.moves import StorePlace, instant
from tests.support.object_store import Bucket, ObjectStore

# Where a migration to an object store is killed.
KILLED_AT: dict[str, tuple[Any, str, int]] = {
    **{step: STEPS[step] for step in ("before the rows", "among the rows", "before the end", "before the marker goes")},
    "before the bucket is claimed": (S3Saver, "claim", 0),
    "before objects are recorded": (DatabaseObjectRecords, "begin_all", 0),
    "before the first object": (ObjectBatch, "put", 0),
    "among the objects": (ObjectBatch, "put", 4),
    "before objects are published": (DatabaseObjectRecords, "publish_all", 0),
    "before the bucket belongs to the store": (S3Saver, "claim", 1),
}


@pytest.fixture
def bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An unused prefix, which this process has the credentials for."""
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def objects(target: StorePlace, postgres_url: str, bucket: Bucket) -> StorePlace:
    """An empty place in PostgreSQL and an object store."""
    return target.at(db=postgres_url, saver=bucket.url)


def test_a_store_moves_to_postgresql_and_an_object_store_and_back(
    source: StorePlace, objects: StorePlace, tmp_path: Path
) -> None:
    rows, data = source.rows(), needed(source)
    source.move_to(objects, checksum=True)
    assert (objects.rows(), objects.blobs()) == (rows, data)
    back = empty_place(tmp_path / "back")
    objects.move_to(back)
    assert (back.rows(), back.blobs()) == (rows, data)
    for place in (source, objects, back):
        with place.opened(instant()) as store:
            assert store.push("pca", b"next").version == "1.1.1"
            assert store.pull("pca@1.0.0") == b"pca one"
    assert objects.rows() == back.rows() == source.rows()


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", few(1, ["among the blobs", "before the first blob", "before the end", "before the marker goes"])
)
def test_a_crash_is_completed_in_an_object_store(
    source: StorePlace, objects: StorePlace, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where, name, after = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, failing(getattr(where, name), after, Crash()))
        with pytest.raises(Crash):
            source.move_to(objects)
    with pytest.raises(errors.MigrationUnfinished), objects.opened():
        pass
    moved = source.move_to(objects)
    assert moved.copied + moved.present == 7
    assert (objects.rows(), objects.blobs()) == (source.rows(), needed(source))
    # What the crash left is recorded, and collected.
    records = objects.rows(of_saver=True)["object"]
    assert {key[-32:] for key in bucket.list_keys() if "/" in key} <= {each["key"] for each in records}
    with objects.opened(instant()) as store:
        store.collect_garbage()
        assert store.fsck(read_data=True).clean
    assert len([key for key in bucket.list_keys() if "/" in key]) == 7


@pytest.mark.slow
def test_the_blobs_alone_move_to_an_object_store_and_back(
    source: StorePlace, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, data = source.rows(), needed(source)
    new = source.at(saver=bucket.url)
    with monkeypatch.context() as patch:
        patch.setattr(blobs, "THREADS", 1)
        patch.setattr(blobs, "BATCH", 2)
        put = blobs.put_blob
        patch.setattr(blobs, "put_blob", failing(put, 5, Crash()))
        with pytest.raises(Crash):
            source.move(None, bucket.url)
        failure = errors.StorageFailed(reason="it is slow")
        patch.setattr(blobs, "put_blob", failing(put, 1, failure))
        with pytest.raises(errors.StorageFailed):
            source.move(None, bucket.url)
    with pytest.raises(errors.MigrationUnfinished) as caught, new.opened():
        pass
    assert caught.value.advice == f"finish it: opstore migrate --to-saver {bucket.url}"
    with source.opened():
        pass  # the store can be used where it is
    assert (
        source.move(None, bucket.url).present == 5
    )  # two batches before the crash, and what was sent before the failure
    assert (new.rows(), new.blobs()) == (rows, data)
    with new.opened() as store:
        assert store.pull("pca@1.0.0") == b"pca one"
    folder = (tmp_path / "folder").as_uri()
    new.move(None, folder)
    assert source.at(saver=folder).blobs() == data


@pytest.mark.slow
def test_the_records_of_one_bucket_are_not_taken_for_those_of_another(
    source: StorePlace, bucket: Bucket, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store.fresh_prefix() as other:
        with monkeypatch.context() as patch:
            patch.setattr(blobs, "put_blob", failing(blobs.put_blob, 3, Crash()))
            with pytest.raises(Crash):
                source.move(None, bucket.url)
        with pytest.raises(errors.MigrationRefused) as caught:
            source.move(None, other.url)
        assert caught.value.advice == f"finish it: opstore migrate --to-saver {bucket.url}"
        source.move(None, bucket.url)
        new = source.at(saver=bucket.url)
        with pytest.raises(errors.MigrationRefused, match="objects in another bucket"):
            new.move(None, other.url)
        assert not other.list_keys()


@pytest.mark.slow
def test_the_database_alone_moves_with_the_records_of_its_objects(
    source: StorePlace, bucket: Bucket, postgres_url: str, target: StorePlace
) -> None:
    source.move_to(target.at(saver=bucket.url))
    there = target.at(saver=bucket.url)
    with there.opened() as store:
        upload = store.create_upload("local", 20).upload
        writer = store.uploads.writer(upload, "local", 0, None)
        writer.append(b"the beginn")
        writer.close()
    rows = there.rows(of_saver=True)
    assert rows["object_draft"]
    there.move(postgres_url, None)
    new = there.at(db=postgres_url)
    assert new.rows(of_saver=True) == rows
    assert new.blobs() == needed(source)
    with new.opened() as store:
        writer = store.uploads.writer(upload, "local", 10, None)  # raises OffsetMismatch at any other offset
        writer.append(b"ing and on")
        writer.close()


@pytest.mark.parametrize("content", few(1, ["an object", "another store", "a finished migration"]))
def test_a_bucket_with_content_is_refused(
    source: StorePlace, objects: StorePlace, bucket: Bucket, tmp_path: Path, content: str
) -> None:
    other = StorePlace.in_folder(tmp_path / "other").at(saver=bucket.url)
    if content == "another store":
        with other.opened() as store:
            store.push("mine", b"data")
    elif content == "an object":
        bucket.client().put_object(Bucket=bucket.name, Key=f"{bucket.prefix}notes.txt", Body=b"mine")
    else:
        source.move_to(objects)
    before = bucket.list_keys()
    with pytest.raises(errors.TargetNotEmpty):
        source.move_to(empty_place(tmp_path / "new").at(saver=bucket.url))
    assert bucket.list_keys() == before


@pytest.mark.slow
def test_an_object_that_is_gone_is_named_and_everything_else_moves(
    source: StorePlace, objects: StorePlace, bucket: Bucket, tmp_path: Path
) -> None:
    source.move_to(objects)
    client = bucket.client()
    keys = [key for key in bucket.list_keys() if "/" in key]
    gone = next(key for key in keys if body(client, bucket, key) == b"pca two")
    client.delete_object(Bucket=bucket.name, Key=bucket.prefix + gone)
    back = empty_place(tmp_path / "back")
    (problem,) = objects.move_to(back).missing
    assert (problem.digest, problem.versions, problem.problem) == (digest_of(b"pca two"), ("pca@1.1.0",), "is missing")
    assert back.rows() == source.rows()


def body(client: Any, bucket: Bucket, key: str) -> bytes:
    with closing(client.get_object(Bucket=bucket.name, Key=bucket.prefix + key)["Body"]) as stream:
        found: bytes = stream.read()
    return found


@pytest.mark.slow
def test_a_large_blob_is_sent_in_parts(source: StorePlace, objects: StorePlace, tmp_path: Path) -> None:
    large = bytes(range(256)) * 80_000  # 20 MB: three parts
    with source.opened() as store:
        store.push("large", large)
    source.move_to(objects, checksum=True)
    with objects.opened() as store:
        assert store.pull("large") == large
    back = empty_place(tmp_path / "back")
    objects.move_to(back)
    assert back.blobs() == objects.blobs()


@pytest.mark.slow
def test_an_object_store_that_is_not_there_is_named_and_nothing_is_begun(
    source: StorePlace, target: StorePlace, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for run in (source.plan, source.move):
        with pytest.raises(errors.Unavailable):
            run(target.db, bucket.url)
    assert not (target.home / "opstore.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", KILLED_AT)
def test_a_migration_to_an_object_store_that_was_killed_is_resumed(
    source: StorePlace, objects: StorePlace, bucket: Bucket, step: str
) -> None:
    rows, data = source.rows(), needed(source)
    killed(source, objects, *KILLED_AT[step])
    with pytest.raises(errors.MigrationUnfinished), objects.opened():
        pass
    source.move_to(objects)
    assert (source.rows(), objects.rows(), objects.blobs()) == (rows, rows, data)
    records = objects.rows(of_saver=True)["object"]
    assert {key[-32:] for key in bucket.list_keys() if "/" in key} <= {each["key"] for each in records}


@pytest.mark.slow
@pytest.mark.parametrize("at", few(1, ["copying 7 blobs", "copying 93 rows", "verifying 7 blobs"]))
def test_a_migration_that_another_one_overtakes_touches_nothing_any_more(
    source: StorePlace, objects: StorePlace, tmp_path: Path, at: str
) -> None:
    shutil.copytree(source.home, tmp_path / "copy")  # as from another machine, with the same database and bucket
    copy, seen = StorePlace.in_folder(tmp_path / "copy"), list[Moved]()

    def report(line: Moved | Problem) -> None:
        if isinstance(line, Moved) and line.step == at and not seen:
            seen.append(line)
            copy.move_to(objects)
            with objects.opened(instant()) as store:
                store.push("pca", b"pushed there")

    with pytest.raises(errors.StoreInUse, match="another opstore migrate, which has finished it"):
        migrate(source.settings, objects.db, objects.saver, report)
    assert seen
    with objects.opened() as store:
        assert store.pull("pca") == b"pushed there"
