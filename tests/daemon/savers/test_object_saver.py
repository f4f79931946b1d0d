"""S3Saver on a real server: the requests that it sends, and what it does with what it finds."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import UNSET

from opstore_daemon import OpStoreServer
from opstore_daemon.config import load
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.object_store.parts import MIB
from opstore_daemon.savers.object_store.reserved_keys import MOST
from opstore_daemon.store.catalog.damage import Mark
from opstore_daemon.store.object_records import DatabaseObjectRecords
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes
from tests.support.statements import counted

STORE, OTHER_STORE = "0123456789abcdef" * 2, "f" * 32


@pytest.fixture(autouse=True)
def environment(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/opstore.db")
    database.create_all()
    yield database
    database.close()


@pytest.fixture
def saver(bucket: Bucket, database: Database) -> S3Saver:
    saver = S3Saver(bucket.url)
    saver.attach(DatabaseObjectRecords(database))
    return saver


@pytest.fixture
def server(bucket: Bucket, tmp_path: Path) -> Iterator[OpStoreServer]:
    with closing(OpStoreServer(S3Saver(bucket.url), f"sqlite:///{tmp_path}/opstore.db")) as server:
        yield server


def s3(server: OpStoreServer) -> S3Saver:
    assert isinstance(server.store.saver, S3Saver)
    return server.store.saver


# --- the requests -----------------------------------------------------------------------------------------------------


def test_a_small_push_is_one_put_and_a_pull_one_get(server: OpStoreServer) -> None:
    requests = Requests(s3(server))
    server.store.push("pca", b"bytes")
    assert requests.taken() == {"PutObject": 1}
    assert server.store.pull("pca") == b"bytes"
    assert requests.taken() == {"GetObject": 1}
    server.store.push("forest", b"bytes")  # stored again: nobody knows whether what is there is intact
    assert requests.taken() == {"PutObject": 1}


def objects(server: OpStoreServer) -> list[tuple[str, str | None]]:
    """Return the states of all objects, with their digests."""
    with server.db.read() as connection:
        rows = connection.exec_driver_sql("SELECT state, digest FROM object ORDER BY at, key").all()
    return [(state, digest) for state, digest in rows]


@pytest.mark.slow
def test_a_small_push_is_two_transactions_and_fewer_when_many_arrive(server: OpStoreServer) -> None:
    """The object is recorded before its PUT, for several pushes at once, and becomes a blob with its version."""
    server.store.push("pca", b"first")
    with counted(server, begins=True) as statements:
        for number in range(20):
            server.store.push("pca", b"%d" % number)
    begins = statements.count("BEGIN")
    assert 20 < begins < 40, "keys are reserved for as many pushes as came within the last second"
    taken = [digest for state, digest in objects(server) if state == "blob"]
    assert sorted(map(str, taken)) == sorted(server.store.saver)
    unused = len(objects(server)) - len(taken)
    assert unused < MOST
    s3(server).release()
    assert len(objects(server)) == len(taken), "keys that nobody took are forgotten"


@pytest.mark.slow
def test_a_push_works_although_the_records_of_reserved_keys_are_gone(server: OpStoreServer) -> None:
    for number in range(MOST + 2):
        server.store.push("pca", b"%d" % number)
    with server.db.write() as connection:
        gone = connection.exec_driver_sql("DELETE FROM object WHERE state = 'draft'").rowcount
    assert gone >= 3, "more than there are attempts"
    server.store.push("pca", b"another")
    assert server.store.pull("pca") == b"another"


def test_a_refused_small_push_changes_no_blob(server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes", subversions="aaaa.aaaa.aaaa")
    before = objects(server)
    with pytest.raises(errors.VersionConflict):
        server.store.push("pca", b"other", subversions="aaaa.aaaa.aaaa")
    with pytest.raises(errors.OpNotFound):
        server.store.push("pca", b"bytes", valid_for=["forest@1.0.0"])
    added = objects(server)[len(before) :]
    assert objects(server)[: len(before)] == before
    assert {state for state, _ in added} == {"draft"}, "left to a collection"
    assert set(server.store.saver) == {digest_of(b"bytes")}


def test_a_refused_push_of_the_bytes_of_a_damaged_blob_replaces_it(server: OpStoreServer) -> None:
    server.store.push("pca", b"bytes")
    digest = digest_of(b"bytes")
    with server.db.write() as connection:
        server.store.damage.add(connection, digest, Mark("its bytes are wrong", 1))
    with pytest.raises(errors.OpNotFound):
        server.store.push("forest", b"bytes", valid_for=["lda@1.0.0"])
    assert server.store.show("pca").damaged is UNSET
    assert sorted(each for each in objects(server) if each[1]) == [("blob", digest), ("trash", digest)]


def test_the_check_of_readiness_asks_nothing_of_the_object_store(server: OpStoreServer) -> None:
    requests = Requests(s3(server))
    server.store.check()
    assert requests.taken() == {}


def test_a_sequential_read_is_one_get_and_a_seek_another(saver: S3Saver) -> None:
    data = random_bytes(3 * MIB)
    saver.put(data, digest_of(data), "a" * 32)
    requests = Requests(saver)
    with saver.open(digest_of(data)) as file:
        assert b"".join(iter(lambda: file.read(100_000), b"")) == data
        assert requests.taken() == {"GetObject": 1}
        file.seek(5)
        assert file.read(7) == data[5:12]
        file.seek(1000, 1)  # a few bytes further: not worth a request
        assert file.read(7) == data[1012:1019]
        assert requests.taken() == {"GetObject": 1}
        assert file.seek(0, 2) == len(data)
        assert file.read(1) == b""
    assert requests.taken() == {}


def test_what_the_database_knows_needs_no_request(saver: S3Saver) -> None:
    data = b"bytes"
    saver.put(data, digest_of(data), "a" * 32)
    requests = Requests(saver)
    assert digest_of(data) in saver
    assert (saver.size(digest_of(data)), list(saver)) == (5, [digest_of(data)])
    saver.check_place()
    saver.trash(digest_of(data))
    assert [each.digest for each in saver.trashed()] == [digest_of(data)]
    assert requests.taken() == {}
    saver.purge(digest_of(data))
    assert requests.taken() == {"DeleteObject": 1}


# --- whose objects they are -------------------------------------------------------------------------------------------


def test_an_empty_database_beside_the_objects_of_a_store_is_refused(
    server: OpStoreServer, bucket: Bucket, tmp_path: Path
) -> None:
    server.store.push("pca", b"bytes")
    server.close()
    with pytest.raises(errors.DatabaseLost, match=bucket.url):
        OpStoreServer(S3Saver(bucket.url), f"sqlite:///{tmp_path}/other.db")


def test_a_bucket_of_another_store_is_refused(server: OpStoreServer, bucket: Bucket, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/opstore.db"
    server.close()
    S3Saver(bucket.url).claim(OTHER_STORE)
    with pytest.raises(errors.StoreMismatch, match=OTHER_STORE):
        OpStoreServer(S3Saver(bucket.url), url)


@pytest.mark.slow
def test_of_two_stores_that_claim_a_bucket_at_once_one_is_refused(saver: S3Saver, bucket: Bucket) -> None:
    other = S3Saver(bucket.url)

    def claimed_meanwhile(*_: object, **__: object) -> None:
        if other.store_id() is None:
            other.claim(OTHER_STORE)

    saver.bucket.s3.meta.events.register("before-send.s3.PutObject", claimed_meanwhile)
    with pytest.raises(errors.StoreInUse):
        saver.claim(STORE)
    assert saver.store_id() == OTHER_STORE


def test_a_database_in_memory_is_refused(bucket: Bucket) -> None:
    with pytest.raises(errors.InvalidSetting, match="in memory"):
        OpStoreServer(S3Saver(bucket.url))


def test_an_older_copy_of_the_database_is_refused(server: OpStoreServer, bucket: Bucket, tmp_path: Path) -> None:
    server.store.push("pca", b"one")
    server.close()
    copy = (tmp_path / "opstore.db").read_bytes()
    url = f"sqlite:///{tmp_path}/opstore.db"
    with closing(OpStoreServer(S3Saver(bucket.url), url)) as again:
        again.store.push("pca", b"two")
    for path in tmp_path.glob("opstore.db*"):
        path.unlink()
    (tmp_path / "opstore.db").write_bytes(copy)
    with pytest.raises(errors.DatabaseDamaged, match="last commits are missing"):
        OpStoreServer(S3Saver(bucket.url), url)


# --- the setting ------------------------------------------------------------------------------------------------------


def test_the_saver_of_an_s3_url_has_its_bucket_and_prefix(tmp_path: Path) -> None:
    saver = load({"OPSTORE_HOME": str(tmp_path)}, saver="s3://models/team/store/").saver()
    assert isinstance(saver, S3Saver)
    assert (saver.place(), saver.bucket.place.prefix) == ("s3://models/team/store", "team/store/")
    assert S3Saver("s3://models").bucket.place.prefix == ""


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://", "is not s3://BUCKET/PREFIX"),
        ("s3:///prefix", "is not s3://BUCKET/PREFIX"),
        ("s3://a", "not the name of a bucket"),
        ("s3://key:secret@models/x", "no user and no password"),
        ("s3://models/x?endpoint=http://127.0.0.1", "AWS_ENDPOINT_URL_S3"),
        ("s3://models/a//b", "the prefix"),
        ("s3://models/a/../b", "the prefix"),
        ("s3://models/ä", "the prefix"),
        ("s3://models/" + "a" * 1000, "at most 900"),
    ],
)
def test_an_s3_url_that_is_none_is_refused(url: str, reason: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=reason) as refused:
        S3Saver(url)
    assert "secret" not in refused.value.text


def test_without_boto3_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("opstore_daemon.savers.object_store", "boto3"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(errors.LibraryMissing, match="boto3") as missing:
        load({"OPSTORE_HOME": str(tmp_path)}, saver="s3://models").saver()
    assert missing.value.advice == "pip install 'opstore[s3]'"
