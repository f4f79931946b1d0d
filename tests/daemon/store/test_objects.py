"""A store with its bytes in an object store: what a collection takes, what a check finds, what a push relies on."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.conformance.common import all_at_once
from opstore_daemon.savers.examination import Irregularity
from opstore_daemon.savers.object_store import failures
from opstore_daemon.savers.object_store.keys import object_name
from tests.daemon.savers.s3 import Storage, before
from tests.support.fault_proxy import Fault, HttpProxy, every, first
from tests.support.figures import few
from tests.support.garbage import WEEK, MovedClock, orphan, remove, trashed
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket

DAY = timedelta(hours=25)
BYTES = digest_of(b"bytes")


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def storage(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    storage = Storage(bucket, tmp_path)
    yield storage
    storage.database.close()


@pytest.fixture
def server(storage: Storage, tmp_path: Path, clock: MovedClock) -> Iterator[OpStoreServer]:
    saver = S3Saver(storage.bucket.url)
    with closing(OpStoreServer(saver, f"sqlite:///{tmp_path}/opstore.db", clock=clock)) as server:
        yield server


def s3(server: OpStoreServer) -> S3Saver:
    assert isinstance(server.store.saver, S3Saver)
    return server.store.saver


def key_of(storage: Storage, digest: Digest = BYTES) -> str:
    found = storage.records.blob(digest)
    assert found is not None
    return found.key


# --- collection -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_removed_version_is_in_the_trash_under_the_same_key_for_a_week(
    server: OpStoreServer, storage: Storage, clock: MovedClock
) -> None:
    server.store.push("pca", b"bytes")
    key = key_of(storage)
    remove(server, "pca")
    requests = Requests(s3(server))
    assert server.store.collect_garbage(grace=0).garbage == 1
    assert not {"PutObject", "DeleteObject", "ListObjectsV2"} & set(requests.taken())
    assert (trashed(server), storage.keys()) == ({BYTES}, {key})
    clock.by = WEEK - timedelta(minutes=1)
    assert server.store.collect_garbage(grace=0).purged == 0
    clock.by = WEEK + timedelta(minutes=1)
    purged = server.store.collect_garbage(grace=0)
    assert (purged.purged, purged.freed, trashed(server), storage.keys()) == (1, 5, set(), set())
    assert storage.records.between("", "g", 9) == []


def test_the_object_that_a_push_replaces_is_purged_without_the_blob(
    server: OpStoreServer, storage: Storage, clock: MovedClock
) -> None:
    for op in ("pca", "lda", "nmf"):
        server.store.push(op, b"bytes")
    assert len(storage.keys()) == 3
    assert server.store.collect_garbage().trash == 1, "all objects of a digest together"
    clock.by = WEEK + timedelta(minutes=1)
    assert server.store.collect_garbage().freed == 10
    assert storage.keys() == {key_of(storage)}
    assert server.store.pull("pca") == b"bytes"


def test_a_delete_that_arrives_late_hits_no_newer_object_of_the_same_bytes(
    server: OpStoreServer, storage: Storage
) -> None:
    orphan(server, b"bytes")
    server.store.collect_garbage(grace=0)
    before(s3(server), "DeleteObject", lambda: server.store.push("pca", b"bytes"))
    assert server.store.collect_garbage(grace=0, purge=True).purged == 1
    assert server.store.pull("pca") == b"bytes"
    assert storage.keys() == {key_of(storage)}


def test_a_push_whose_blob_is_collected_before_its_transaction_stores_it_again(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver, prepare = s3(server), s3(server).prepare
    calls = []

    def collected(data: bytes, digest: Digest, upload: str) -> Callable[[], bool]:
        publish = prepare(data, digest, upload)
        calls.append(digest)
        if len(calls) == 1:
            for each in saver._records.find("draft", "", 100):
                assert saver._records.move(each.key, "draft", "deleting")
        return publish

    monkeypatch.setattr(saver, "prepare", collected)
    server.store.push("pca", b"bytes")
    assert (len(calls), server.store.pull("pca")) == (2, b"bytes")


def crash_before_the_record(storage: Storage) -> None:
    storage.records.begin("c" * 32)


def crash_before_the_publication(storage: Storage) -> None:
    storage.records.begin("c" * 32)
    storage.write("c" * 32, b"bytes")


def crash_during_a_delete(storage: Storage) -> None:
    crash_before_the_publication(storage)
    storage.records.move("c" * 32, "draft", "deleting")


def crash_after_a_delete(storage: Storage) -> None:
    crash_before_the_record(storage)
    storage.records.move("c" * 32, "draft", "deleting")


def crash_before_a_multipart_upload_is_recorded(storage: Storage) -> None:
    name = storage.bucket.prefix + object_name("c" * 32)
    storage.client.create_multipart_upload(Bucket=storage.bucket.name, Key=name)


@pytest.mark.parametrize(
    "crash",
    few(
        1,
        [
            crash_before_the_record,
            crash_before_the_publication,
            crash_during_a_delete,
            crash_after_a_delete,
            crash_before_a_multipart_upload_is_recorded,
        ],
    ),
)
def test_what_a_crash_left_is_collected_a_day_later(
    server: OpStoreServer, storage: Storage, clock: MovedClock, crash: Callable[[Storage], None]
) -> None:
    server.store.push("pca", b"bytes")
    crash(storage)

    def everything() -> object:
        return storage.keys(), storage.unfinished(), storage.records.between("", "g", 9)

    there = everything()
    assert server.store.collect_garbage(grace=0, purge=True).drafts == 0
    assert everything() == there
    clock.by = DAY
    assert server.store.collect_garbage(dry_run=True).drafts == 1
    assert everything() == there
    assert server.store.collect_garbage().drafts == 1
    assert (storage.keys(), storage.unfinished()) == ({key_of(storage)}, [])
    assert [each.state for each in storage.records.between("", "g", 9)] == ["blob"]


@pytest.mark.slow
def test_an_upload_that_goes_on_is_no_leftover_however_old_it_is(
    server: OpStoreServer, storage: Storage, clock: MovedClock
) -> None:
    upload = server.store.create_upload("local", None).upload
    writer = server.store.uploads.writer(upload, "local", 0, None)
    data = b"x" * (9 * 1024 * 1024)
    writer.append(data)
    writer.close()
    assert server.store.uploads.claim(upload, "local").offset == len(data)
    clock.by = DAY
    collected = server.store.collect_garbage(grace=0, purge=True)
    assert (collected.drafts, collected.unfinished, collected.unfinished_size) == (0, 1, len(data))
    assert len(storage.unfinished()) == 1
    clock.by = WEEK + timedelta(minutes=1)
    assert server.store.collect_garbage(grace=0).uploads == 1
    assert (storage.keys(), storage.unfinished(), list(s3(server).drafts())) == (set(), [], [])


def test_an_object_that_a_collection_takes_as_a_leftover_is_not_published(
    server: OpStoreServer, clock: MovedClock
) -> None:
    saver = s3(server)

    def collect() -> None:
        clock.by = DAY
        assert server.store.collect_garbage().drafts == 1
        clock.by = timedelta()

    before(saver, "PutObject", collect)
    requests = Requests(saver)
    server.store.push("pca", b"bytes")
    assert requests["PutObject"] == 2
    assert server.store.pull("pca") == b"bytes"


def test_a_leftover_is_not_published_while_its_object_is_deleted(
    server: OpStoreServer, storage: Storage, clock: MovedClock
) -> None:
    crash_before_the_publication(storage)
    published: list[bool] = []
    before(s3(server), "DeleteObject", lambda: published.append(storage.records.publish("c" * 32, BYTES, 5)))
    clock.by = DAY
    assert server.store.collect_garbage().drafts == 1
    assert (published, storage.records.between("", "g", 9)) == ([False], [])


def collects_beside_pushes(servers: list[OpStoreServer]) -> None:
    """Push, remove and collect the same few blobs by all servers at once; every version that is left has its bytes."""
    contents = [b"%d" % number for number in range(3)]

    def turns(server: OpStoreServer, op: str) -> None:
        for turn in range(6):
            version = server.store.push(op, contents[turn % 3], new=True)
            if turn % 2:
                remove(server, f"{op}@{version.version}")
            else:
                with suppress(errors.CollectionHeld):  # by another one
                    server.store.collect_garbage(grace=0, purge=True)

    jobs: list[Callable[[], object]] = [
        partial(turns, servers[number % len(servers)], f"op{number}") for number in range(4)
    ]
    assert all_at_once(jobs) == []
    pulled = [
        server.store.pull(f"{op.name}@{version.version}")
        for server in servers
        for op in server.store.ops()
        for version in server.store.versions(op.name).versions
    ]
    assert len(pulled) == 12 * len(servers)
    assert set(pulled) == set(contents)


@pytest.mark.slow
def test_a_collection_beside_pushes_takes_nothing_that_a_version_needs(server: OpStoreServer, storage: Storage) -> None:
    collects_beside_pushes([server])
    assert storage.keys() >= {each.key for each in storage.records.find("blob", "", 99)}


@pytest.mark.slow
def test_collections_of_two_daemons_beside_pushes_take_nothing_that_a_version_needs(
    bucket: Bucket, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    with (
        closing(OpStoreServer(S3Saver(bucket.url), store_url)) as one,
        closing(OpStoreServer(S3Saver(bucket.url), store_url)) as other,
    ):
        collects_beside_pushes([one, other])


# --- fsck -------------------------------------------------------------------------------------------------------------


def findings(
    storage: Storage, server: OpStoreServer, *, read_data: bool = False, repair: bool = False
) -> list[tuple[str, str]]:
    """Return kind and object of what a check finds."""
    saver = s3(server)
    names = [each.name for each in saver.bucket.listing("objects/")]
    keys = [
        *(name.rpartition("/")[0][-2:] for name in names),
        *(each.key[:2] for each in storage.records.between("", "g", 1000)),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Saver, "parts", lambda _: sorted(set(keys)))  # not a request for each of all 256
        found = server.store.fsck(read_data=read_data, repair=repair).findings
    return [(each.kind, each.what.rpartition("/")[2]) for each in found]


@pytest.mark.slow
def test_a_clean_bucket_has_no_findings(storage: Storage, server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes")
    server.store.push("pca", b"others")
    remove(server, "pca")
    server.store.collect_garbage(grace=0)
    server.store.create_upload("local", 10)
    requests = Requests(s3(server))
    assert findings(storage, server) == []
    assert set(requests.taken()) <= {"ListObjectsV2", "GetObject"}, "the listing has the sizes"
    assert findings(storage, server, read_data=True) == []


def test_objects_that_nobody_recorded_are_reported_and_never_deleted(
    server: OpStoreServer, storage: Storage, clock: MovedClock
) -> None:
    server.store.push("pca", b"bytes")
    for key in ("c" * 32, "0" * 32, "f" * 32):
        storage.write(key, b"of a newer database")
    name = f"{storage.bucket.prefix}objects/cc/notes.txt"
    storage.client.put_object(Bucket=storage.bucket.name, Key=name, Body=b"")
    expected = [("leftover", "0" * 32), ("leftover", "c" * 32), ("foreign", "notes.txt"), ("leftover", "f" * 32)]
    assert findings(storage, server) == expected
    clock.by = WEEK
    server.store.collect_garbage(grace=0, purge=True)
    assert findings(storage, server, repair=True) == expected


@pytest.mark.slow
def test_a_missing_an_altered_and_a_truncated_object_are_found_and_pushed_again(
    server: OpStoreServer, storage: Storage, clock: MovedClock
) -> None:
    contents = [b"missing", b"altered", b"truncated"]
    for data in contents:
        server.store.push("pca", data)
    missing, altered, truncated = (key_of(storage, digest_of(data)) for data in contents)
    storage.delete(missing)
    storage.write(altered, b"ALTERED")
    storage.write(truncated, b"trunc")
    kinds = {"missing": digest_of(b"missing"), "size": digest_of(b"truncated"), "damaged": digest_of(b"altered")}
    assert dict(findings(storage, server)) == {kind: kinds[kind] for kind in ("missing", "size")}
    assert dict(findings(storage, server, read_data=True, repair=True)) == kinds
    with pytest.raises(errors.BlobDamaged):
        server.store.pull("pca")
    assert {each.name for each in s3(server).quarantined()} == {altered, truncated}
    assert server.store.collect_garbage(grace=0, purge=True).quarantine == 2
    for patch, data in enumerate(contents):
        server.store.push("pca", data, subversions=server.store.show(f"pca@1.0.{patch}").subversions)
        assert server.store.pull(f"pca@1.0.{patch}") == data
    assert findings(storage, server, read_data=True) == [("leftover", missing)], "it is in the trash, and gone"
    clock.by = timedelta(days=31)
    server.store.collect_garbage()
    assert not {altered, truncated} & storage.keys()
    assert findings(storage, server, read_data=True) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [5, 3_000_000])
def test_a_pull_of_a_lost_object_says_that_its_bytes_are_missing(
    server: OpStoreServer, storage: Storage, size: int
) -> None:
    data = b"x" * size
    server.store.push("pca", data)
    reader = server.store.read(server.store.show("pca"), (1, 3))
    storage.delete(key_of(storage, digest_of(data)))
    with pytest.raises(errors.BlobDamaged, match="they are missing"):
        server.store.pull("pca")
    with closing(reader), pytest.raises(errors.BlobDamaged, match="they are missing"):
        reader.read_piece()


@pytest.mark.slow
def test_a_damaged_object_is_in_the_quarantine_although_a_full_disk_refused_the_first_commit(
    server: OpStoreServer, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollback takes it out of the quarantine again, unlike a file."""
    server.store.push("pca", b"bytes")
    key, write = key_of(storage), server.db.write_freeing
    storage.write(key, b"BYTES")

    def refuse_once(work: Callable[..., object]) -> object:
        with suppress(ZeroDivisionError), server.db.write() as connection:
            work(connection)
            raise ZeroDivisionError
        return write(work)

    monkeypatch.setattr(server.db, "write_freeing", refuse_once)
    assert findings(storage, server, read_data=True, repair=True) == [("damaged", BYTES)]
    assert [each.name for each in s3(server).quarantined()] == [key]
    with pytest.raises(errors.BlobDamaged, match="as fsck found"):
        server.store.pull("pca")


def test_an_object_store_that_refuses_everything_is_one_finding_of_a_check(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3Saver, "parts", lambda _: ["00", "01"])  # not a request for each of all 256
    refused = Fault("refuse", status="403 Forbidden", code="InvalidAccessKeyId")
    server_port = int(storage.bucket.endpoint.rpartition(":")[2])
    with HttpProxy(server_port) as proxy:
        saver = S3Saver(storage.bucket.url, endpoint=f"http://127.0.0.1:{proxy.port}")
        with closing(OpStoreServer(saver, f"sqlite:///{tmp_path}/opstore.db")) as server:
            for data in (b"one", b"two", b"three"):
                server.store.push("pca", data)
            # An object of its own that can't be read is a finding about its version, and no outage.
            broken = key_of(storage, digest_of(b"two"))
            proxy.fault_for = every(1, refused, f"GET .*{broken}")
            found = server.store.fsck(read_data=True).findings
            assert [(each.kind, each.what) for each in found] == [("unreadable", digest_of(b"two"))]
            # So is one list that can't be had about its part, and the others are still read.
            proxy.fault_for = first(1, refused, "list-type")
            found = server.store.fsck().findings
            assert [(each.kind, each.what.partition(", ")[2]) for each in found] == [("unreadable", "part 00")]
            proxy.fault_for = every(1, refused)
            for read_data, checks in ((False, ["storage"]), (True, ["blobs", "storage"])):
                found = server.store.fsck(read_data=read_data).findings
                assert [(each.kind, each.what) for each in found] == [
                    ("unreadable", f"the check of the {check}") for check in checks
                ]
                assert all("it does not accept the credentials" in each.observed for each in found)
                assert {each.advice for each in found} == {failures.CAUSES["InvalidAccessKeyId"].advice}
            proxy.fault_for = lambda _: None
            assert server.store.fsck().clean


@pytest.mark.slow
def test_an_object_that_is_gone_from_the_trash_is_reported(server: OpStoreServer, storage: Storage) -> None:
    orphan(server, b"bytes")
    server.store.collect_garbage(grace=0)
    (key,) = storage.keys()
    storage.delete(key)
    assert findings(storage, server) == [("leftover", key)]
    server.store.collect_garbage(purge=True)
    assert findings(storage, server) == []


def test_more_objects_than_one_listing_has_are_surveyed(server: OpStoreServer, storage: Storage) -> None:
    saver, listing = s3(server), s3(server).bucket.listing
    blobs = []
    for number in range(7):
        key = f"ab{number:030x}"
        storage.write(key, b"x")
        if number != 3:
            storage.records.begin(key)
            storage.records.publish(key, digest_of(b"%d" % number), 1)
            blobs.append(digest_of(b"%d" % number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opstore_daemon.savers.object_store.survey.PAGE", 2)
        patch.setattr(saver.bucket, "listing", lambda start, limit=3: listing(start, limit))
        found = list(saver.survey("ab"))
    assert [each for each in found if isinstance(each, Digest)] == blobs
    assert [each.what.rpartition("/")[2] for each in found if isinstance(each, Irregularity)] == [f"ab{3:030x}"]
    assert len(found) == 7
