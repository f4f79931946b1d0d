"""An object store that refuses, is slow, cuts connections or is gone: S3Saver raises errors of ours, loses nothing."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import Draft, S3Saver
from opstore_daemon.savers.object_store import failures
from opstore_daemon.savers.object_store.parts import MIB
from tests.daemon.savers.s3 import Storage
from tests.support.fault_proxy import INTERNAL_ERROR, SLOW_DOWN, Fault, HttpProxy, TcpProxy, every, first, share
from tests.support.object_store import Bucket, ObjectStore
from tests.support.random_bytes import random_bytes

LARGE = random_bytes(11 * MIB)
DIGEST = digest_of(LARGE)
UPLOAD = "a" * 32


@pytest.fixture(autouse=True)
def environment(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("opstore_daemon.savers.object_store.draft.part_size", lambda *_: 5 * MIB)
    # It waits up to 20 seconds between two attempts.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture
def storage(bucket: Bucket, tmp_path: Path, environment: None) -> Iterator[Storage]:
    storage = Storage(bucket, tmp_path)
    yield storage
    storage.database.close()


@contextmanager
def proxied(storage: Storage, proxy: HttpProxy | TcpProxy) -> Iterator[S3Saver]:
    """Yield a saver that reaches the server by the proxy."""
    with proxy:
        yield storage.saver(endpoint=f"http://127.0.0.1:{proxy.port}")


def port(bucket: Bucket) -> int:
    found = urlsplit(bucket.endpoint).port
    assert found is not None
    return found


def fill(draft: Draft, data: bytes) -> None:
    """Store the rest of the data, from wherever an earlier attempt got to."""
    for start in range(draft.offset, len(data), MIB):
        draft.append(data[start : start + MIB])
    draft.flush()


def store(saver: S3Saver, data: bytes = LARGE) -> None:
    """Store the data as an upload does."""
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft, data)
        draft.publish(digest_of(data))
    saver.discard(UPLOAD)


def read(saver: S3Saver, data: bytes = LARGE) -> bytes:
    found = bytearray()
    with saver.open(digest_of(data)) as file:
        while piece := file.read(MIB):
            found += piece
    return bytes(found)


# --- what an operator gets wrong --------------------------------------------------------------------------------------


def refused(saver: S3Saver) -> errors.ObjectStoreFailed:
    with pytest.raises(errors.ObjectStoreFailed) as raised:
        saver.acquire()
    assert raised.value.advice
    return raised.value


def test_a_bucket_that_does_not_exist_is_named(bucket: Bucket) -> None:
    error = refused(S3Saver("s3://no-such-bucket/x"))
    assert "there is no bucket no-such-bucket (HTTP 404: NoSuchBucket" in error.text
    assert error.advice == "create it, or give another bucket"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_refused_without_showing_them(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "wrong-and-secret")
    error = refused(S3Saver(bucket.url))
    assert "it does not accept the credentials" in error.text
    assert "AWS_ACCESS_KEY_ID" in error.advice
    shown = f"{error.text} {error.advice} {error.details} {error!r}"
    assert not any(secret in shown for secret in (bucket.secret_key, "wrong-and-secret"))


def test_missing_credentials_are_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "there are no credentials for it" in refused(S3Saver(bucket.url)).text


def test_a_profile_that_does_not_exist_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(errors.ObjectStoreFailed, match="no such profile") as raised:
        S3Saver(bucket.url)
    assert raised.value.advice == "correct AWS_PROFILE"


def test_a_server_that_is_not_there_is_named(bucket: Bucket) -> None:
    with TcpProxy(port(bucket)) as proxy:
        proxy.go_away()
        error = refused(S3Saver(bucket.url, endpoint=f"http://user:secret@127.0.0.1:{proxy.port}"))
    assert f"it can't be reached at http://127.0.0.1:{proxy.port}" in error.text
    assert "AWS_ENDPOINT_URL_S3" in error.advice
    assert "secret" not in f"{error.text} {error.details}"


def test_a_clock_that_is_off_is_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=2)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: wrong)
    error = refused(S3Saver(bucket.url))
    assert "the clock of this machine differs" in error.text
    assert "set the clock" in error.advice


def answer(code: str, status: int, **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers, "RetryAttempts": 4}
    return ClientError({"Error": {"Code": code, "Message": "a\x1b[31m b"}, "ResponseMetadata": metadata}, "PutObject")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (answer("AccessDenied", 403), "the credentials do not allow PutObject (HTTP 403: AccessDenied"),
        (answer("403", 403), "the credentials do not allow PutObject"),
        (answer("301", 301, **{"x-amz-bucket-region": "eu-west-1"}), "is in another region, eu-west-1"),
        (answer("AuthorizationHeaderMalformed", 400), "is in another region"),
        (answer("SlowDown", 503), "it refused PutObject 5 times"),
        (answer("NeverHeardOf", 503), "it refused PutObject 5 times"),
        (answer("NeverHeardOf", 418), "PutObject failed (HTTP 418: NeverHeardOf"),
        (answer("ExpiredToken", 400), "the credentials have expired"),
        (RuntimeError("internal"), "PutObject failed (RuntimeError)"),
    ],
)
def test_each_answer_of_an_object_store_is_an_error_with_a_next_step(error: Exception, text: str) -> None:
    found = failures.to_opstore_error(error, "s3://models/x", "models", "http://minio:9000", "PutObject")
    assert isinstance(found, errors.ObjectStoreFailed)
    assert text in found.text
    assert (bool(found.advice), "\x1b" in found.text, found.exit_code) == (True, False, 9)


def test_an_object_store_without_space_is_full() -> None:
    for code in failures.FULL:
        found = failures.to_opstore_error(answer(code, 507), "s3://models/x", "models", "http://minio", "PutObject")
        assert isinstance(found, errors.StorageFull)


# --- requests that fail now and then ----------------------------------------------------------------------------------

OFTEN = {
    "refused": every(10, SLOW_DOWN),
    "failed inside": every(7, INTERNAL_ERROR),
    "refused twice each": first(2, SLOW_DOWN),
    "lost": every(6, Fault("lose the request")),
    "cut": every(5, Fault("cut the request", at=1000)),
    "answered in vain": every(5, Fault("lose the response")),
    "answered in part": every(5, Fault("cut the response", at=20)),
    "all of these": share(0.2, 5, SLOW_DOWN, Fault("lose the request"), Fault("lose the response")),
}
USUAL = {"all of these"}


@pytest.mark.parametrize(
    "kind", [kind if kind in USUAL else pytest.param(kind, marks=pytest.mark.slow) for kind in OFTEN]
)
def test_requests_that_fail_now_and_then_are_repeated(storage: Storage, kind: str) -> None:
    with proxied(storage, HttpProxy(port(storage.bucket), OFTEN[kind])) as saver:
        contents = [b"%d" % number for number in range(20)]
        for data in contents:
            saver.put(data, digest_of(data), UPLOAD)
        store(saver)
        assert [read(saver, data) for data in contents] == contents
        assert read(saver) == LARGE
    blobs = {each.key for each in storage.records.find("blob", "", 99)}
    assert (len(blobs), storage.keys() - blobs) == (21, set())


@pytest.mark.slow
def test_a_slow_object_store_is_waited_for(storage: Storage) -> None:
    with proxied(storage, HttpProxy(port(storage.bucket), share(0.3, 1, Fault("delay", seconds=0.3)))) as saver:
        store(saver)
        assert read(saver) == LARGE


@pytest.mark.slow
def test_an_object_store_that_is_slow_by_two_seconds_and_refuses_one_of_ten(storage: Storage) -> None:
    proxy = HttpProxy(port(storage.bucket), every(10, SLOW_DOWN))
    proxy.delay = 2.0
    with proxied(storage, proxy) as saver:
        for number in range(5):
            saver.put(b"%d" % number, digest_of(b"%d" % number), UPLOAD)
        store(saver)
        assert read(saver) == LARGE


@pytest.mark.slow
def test_connections_that_break_in_the_middle_of_a_part_are_repeated(storage: Storage) -> None:
    proxy = TcpProxy(port(storage.bucket))
    with proxied(storage, proxy) as saver:
        for after in (3 * MIB, 6 * MIB):
            proxy.cut_after(after, "up")
            store(saver)
        assert (proxy.cuts, read(saver)) == (2, LARGE)


@pytest.mark.slow
def test_a_read_whose_connection_breaks_goes_on_where_it_was(storage: Storage) -> None:
    store(storage.saver())
    proxy = TcpProxy(port(storage.bucket))
    with proxied(storage, proxy) as saver:
        proxy.cut_after(5 * MIB, "down")
        assert read(saver) == LARGE
        assert proxy.cuts == 1
        assert proxy.counts["down"] < len(LARGE) + MIB, "no byte was sent again"


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(storage: Storage) -> None:
    saver = storage.saver()
    store(saver)
    (record,) = storage.records.find("blob", "", 9)
    with saver.open(DIGEST) as file:
        file.read(MIB)
        storage.write(record.key, b"?" * len(LARGE))
        file.seek(9 * MIB)
        with pytest.raises(errors.StorageFailed, match="was replaced while it was read"):
            file.read(MIB)


# --- an object store that is gone -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_upload_goes_on_once_the_object_store_is_back(storage: Storage) -> None:
    proxy = TcpProxy(port(storage.bucket))
    with proxied(storage, proxy) as saver:
        draft = saver.draft(UPLOAD)
        draft.append(LARGE[: 6 * MIB])
        draft.flush()
        proxy.go_away()
        with pytest.raises(errors.ObjectStoreFailed):
            fill(draft, LARGE)
        draft.close()
        proxy.come_back()
        assert saver.staged_size(UPLOAD) == 6 * MIB
        store(saver)
        assert read(saver) == LARGE


def exercise(server: OpStoreServer, fails: Callable[[], None], returns: Callable[[], None]) -> None:
    """Push and pull before, while and after the object store is gone."""
    server.store.push("pca", b"before")
    server.store.push("pca", LARGE)
    server.store.check()
    fails()
    server.store.check()  # it stays ready: verdicts need no bytes
    for use in (lambda: server.store.push("pca", b"while"), lambda: server.store.pull("pca@1.0.0")):
        with pytest.raises(errors.ObjectStoreFailed):
            use()
    assert [version.version for version in server.store.versions("pca").versions] == ["1.0.1", "1.0.0"]
    returns()
    server.store.push("pca", b"after")
    assert [server.store.pull(f"pca@1.0.{patch}") for patch in range(3)] == [b"before", LARGE, b"after"]


@pytest.mark.slow
def test_a_daemon_goes_on_once_the_object_store_is_back(storage: Storage, tmp_path: Path) -> None:
    with TcpProxy(port(storage.bucket)) as proxy:
        saver = S3Saver(storage.bucket.url, endpoint=f"http://127.0.0.1:{proxy.port}")
        with closing(OpStoreServer(saver, f"sqlite:///{tmp_path}/opstore.db")) as server:
            exercise(server, proxy.go_away, proxy.come_back)


@pytest.mark.slow
def test_a_daemon_goes_on_after_the_object_store_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ObjectStore()
    own.start()
    try:
        bucket = own.bucket(prefix="killed/")
        for name, value in bucket.environ.items():
            monkeypatch.setenv(name, value)
        with closing(OpStoreServer(S3Saver(bucket.url), f"sqlite:///{tmp_path}/opstore.db")) as server:
            exercise(server, own.kill, own.start)
    finally:
        own.close()


def test_bytes_that_change_on_the_way_are_refused_by_the_object_store(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = storage.saver()
    multipart = saver.bucket.create_multipart("objects/part")
    with pytest.raises(errors.ObjectStoreFailed, match="the bytes changed on the way"):
        saver.bucket.upload_part("objects/part", multipart, 1, b"bytes", checksum="A" * 43 + "=")
    saver.bucket.abort("objects/part", multipart)
    monkeypatch.setattr("opstore_daemon.savers.object_store.client.sha256", lambda _: "A" * 43 + "=")
    for use in (partial(saver.put, b"bytes", digest_of(b"bytes"), UPLOAD), partial(store, saver)):
        with pytest.raises(errors.ObjectStoreFailed, match="the bytes changed on the way"):
            use()
    saver.discard(UPLOAD)
    assert (list(saver), storage.keys()) == ([], set())
