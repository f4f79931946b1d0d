"""Versions of uploads whose bytes are read for long: the request is repeated, and nothing is read again."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import S3Saver
from opstore_daemon.store.ingest import long_pushes, uploads
from opstore_daemon.store.ingest.open_upload import OpenUpload
from opstore_daemon.store.ingest.passing_hash import PassingHash
from tests.support.fault_proxy import HttpProxy
from tests.support.http_client import Http
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket, ObjectStore
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN
from tests.support.waiting import wait_for

DATA = random_bytes(2 * READ_SIZE + 4567)


class Daemons:
    """Two daemons; `proxies` are between each and the object store, and `sent` counts its requests."""

    def __init__(self, servers: list[OpStoreServer], proxies: list[HttpProxy], https: list[Http]) -> None:
        self.servers, self.proxies, self.https = servers, proxies, https
        self.sent = [Requests(server.store.saver) for server in servers if isinstance(server.store.saver, S3Saver)]

    def upload(self) -> str:
        """Return an upload all of whose bytes passed the first daemon."""
        return self.https[0].upload(DATA, len(DATA))

    def finish(self, at: int, upload: str, **values: Any) -> requests.Response:
        """Request a version of the upload, of an op of its own and with a key of its own."""
        wanted = {"upload": upload, "size": len(DATA), **values}
        return self.https[at].post(f"/v1/ops/{upload}/versions", wanted, headers={routes.IDEMPOTENCY_KEY: upload})

    def until_verified(self, at: int, upload: str, **values: Any) -> requests.Response:
        """Repeat the request as clients do; return its outcome."""
        answers: list[requests.Response] = []

        def ask() -> bool:
            answers.append(self.finish(at, upload, **values))
            return not is_unfinished(answers[-1])

        wait_for(ask, "the end of the verification")
        return answers[-1]

    def verifying(self, at: int) -> int:
        """Return how many long reads run or wait."""
        reads = self.servers[at].store.reads
        return reads.running + reads.waiting


def is_unfinished(answer: requests.Response) -> bool:
    return answer.status_code == 503 and answer.json()["code"] == "NotVerified"


@pytest.fixture(scope="module")
def daemons(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    with object_store.fresh_prefix() as bucket, serving(bucket, tmp_path_factory.mktemp("daemons")) as running:
        yield running


@contextmanager
def serving(bucket: Bucket, folder: Path) -> Iterator[Daemons]:
    port = int(bucket.endpoint.rpartition(":")[2])
    with ExitStack() as held:
        monkeypatch = held.enter_context(pytest.MonkeyPatch.context())
        for name, value in bucket.environ.items():
            monkeypatch.setenv(name, value)
        for module in (long_pushes, uploads):
            monkeypatch.setattr(module, "PATIENCE", 0.05)
        monkeypatch.setattr(uploads, "LONG", len(DATA) - 1)
        database = held.enter_context(closing(Database(f"sqlite:///{folder}/opstore.db")))
        database.acquire(None)
        servers, proxies, https = [], [], []
        for _ in range(2):
            proxies.append(held.enter_context(HttpProxy(port)))
            saver = S3Saver(bucket.url, endpoint=proxies[-1].url)
            servers.append(held.enter_context(closing(OpStoreServer(saver, database, token=ADMIN_TOKEN))))
            https.append(held.enter_context(Http(held.enter_context(Listener(servers[-1])).url)))
        yield Daemons(servers, proxies, https)
        for proxy in proxies:
            proxy.resume()


@pytest.mark.slow
def test_a_request_that_is_repeated_finds_the_read_going_on_and_takes_no_second_place(daemons: Daemons) -> None:
    upload = daemons.upload()
    daemons.sent[1].clear()
    daemons.proxies[1].hang()
    for _ in range(4):
        answer = daemons.finish(1, upload)
        assert is_unfinished(answer)
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["details"] == {"upload": upload, "verified": 0, "size": len(DATA)}
        wait_for(lambda: daemons.verifying(1) == 1, "the read")
    assert len(daemons.servers[1].store.long_pushes._pushes) == 1
    assert is_unfinished(daemons.https[1].get(f"/v1/uploads/{upload}")), "nor does a claim wait for all of it"
    daemons.proxies[1].resume()
    assert daemons.until_verified(1, upload).json()["digest"] == digest_of(DATA)
    assert (daemons.verifying(1), daemons.sent[1]["GetObject"]) == (0, 2), "one for the digest, one for the sample"
    assert daemons.https[0].pull(upload).content == DATA


@pytest.mark.slow
def test_only_one_of_several_requests_at_once_waits(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = daemons.upload()
    daemons.proxies[1].hang()
    monkeypatch.setattr(long_pushes, "PATIENCE", 60)
    first: list[requests.Response] = []
    thread = threading.Thread(target=lambda: first.append(daemons.finish(1, upload)))
    thread.start()
    pushes = daemons.servers[1].store.long_pushes._pushes
    wait_for(lambda: any(each.waiting.locked() for each in pushes.values()), "the first request")
    assert is_unfinished(daemons.finish(1, upload))
    assert is_unfinished(daemons.finish(1, upload, labels={"another": "request"}))
    daemons.proxies[1].resume()
    thread.join()
    assert first[0].status_code == 201
    assert daemons.finish(1, upload).json() == first[0].json(), "whose result is kept under its key"


def test_another_daemon_that_takes_the_upload_over_disturbs_nothing(daemons: Daemons) -> None:
    upload = daemons.upload()
    daemons.sent[1].clear()
    daemons.proxies[1].hang()
    assert is_unfinished(daemons.finish(1, upload))
    wait_for(lambda: daemons.verifying(1) == 1, "the read")
    assert daemons.https[0].get(f"/v1/uploads/{upload}").json()["offset"] == len(DATA)
    daemons.proxies[1].resume()
    assert daemons.until_verified(1, upload).status_code in (200, 201)
    assert daemons.sent[1]["GetObject"] == 2, "the bytes are not read again for the publication"


def test_of_two_daemons_that_verify_an_upload_one_makes_the_version(daemons: Daemons) -> None:
    upload = daemons.upload()
    daemons.proxies[1].hang()
    assert is_unfinished(daemons.finish(1, upload))
    made = daemons.until_verified(0, upload)
    assert made.status_code == 201
    daemons.proxies[1].resume()
    assert daemons.until_verified(1, upload).json() == made.json()
    assert len(daemons.https[0].get(f"/v1/ops/{upload}/versions").json()["versions"]) == 1
    wait_for(lambda: daemons.verifying(1) == 0, "the end of the second read")


def test_what_nobody_waited_for_is_the_answer_to_the_next_request(daemons: Daemons) -> None:
    upload, wrong = daemons.upload(), digest_of(b"other")
    daemons.proxies[1].hang()
    assert is_unfinished(daemons.finish(1, upload, digest=wrong))
    daemons.proxies[1].resume()
    pushes = daemons.servers[1].store.long_pushes._pushes
    wait_for(lambda: all(each.outcome.done() for each in pushes.values()), "the end of the read")
    refused = daemons.finish(1, upload, digest=wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "DigestMismatch")
    assert daemons.finish(1, upload, digest=wrong).json()["code"] == "UploadNotFound"
    assert upload not in str(list(pushes))


def test_a_read_ends_when_its_upload_is_discarded(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, reads = daemons.upload(), []
    step, gate = PassingHash._step, threading.Event()

    def slowly(hashed: PassingHash, buffer: memoryview) -> None:
        reads.append(hashed.hashed)
        gate.wait()
        step(hashed, buffer)

    monkeypatch.setattr(PassingHash, "_step", slowly)
    assert is_unfinished(daemons.finish(1, upload))
    wait_for(lambda: reads == [0], "the first read")
    opened = daemons.servers[1].store.uploads.opened.find(upload)
    assert opened is not None
    thread = threading.Thread(target=lambda: daemons.https[1].delete(f"/v1/uploads/{upload}"))
    thread.start()
    wait_for(lambda: opened.ending, "the deletion")
    gate.set()
    thread.join()
    assert reads == [0]
    assert daemons.until_verified(1, upload).json()["code"] in ("UploadNotOpen", "UploadNotFound")
    assert daemons.https[0].get(f"/v1/uploads/{upload}").status_code == 404


def test_a_daemon_that_stops_ends_its_reads(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(bucket, tmp_path) as daemons:
        stop_while_it_reads(daemons, monkeypatch)


def stop_while_it_reads(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, step, reads = daemons.upload(), PassingHash._step, []

    def while_it_stops(hashed: PassingHash, buffer: memoryview) -> None:
        reads.append(hashed.hashed)
        wait_for(lambda: opened().ending, "the stop")
        step(hashed, buffer)

    def opened() -> OpenUpload:
        found = daemons.servers[1].store.uploads.opened.find(upload)
        assert found is not None
        return found

    monkeypatch.setattr(PassingHash, "_step", while_it_stops)
    assert is_unfinished(daemons.finish(1, upload))
    wait_for(lambda: reads == [0], "the first read")
    (push,) = daemons.servers[1].store.long_pushes._pushes.values()
    daemons.servers[1].close()
    assert (push.outcome.done(), reads) == (True, [0])
    monkeypatch.setattr(PassingHash, "_step", step)
    assert daemons.until_verified(0, upload).status_code == 201


def test_finished_pushes_that_nobody_asks_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_pushes, "KEPT", 3)
    monkeypatch.setattr(long_pushes, "PATIENCE", 0)
    pushes, gate = long_pushes.LongPushes(), threading.Event()

    def refuse() -> Any:
        gate.wait()
        raise errors.UploadNotFound(upload="x")

    def unfinished() -> errors.NotVerified:
        return errors.NotVerified(upload="x", verified=0, size=1)

    for number in range(9):
        gate.clear()
        with pytest.raises(errors.NotVerified):
            pushes.run(number, None, refuse, unfinished)
        gate.set()
        wait_for(lambda: all(each.outcome.done() for each in pushes._pushes.values()), "the end")
    assert list(pushes._pushes) == [5, 6, 7, 8], "those before the last push, and itself"


def test_the_python_client_waits_for_a_long_verification(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As if its last append had reached one daemon, and the request for the version another."""
    monkeypatch.setattr(errors.NotVerified, "retry_after", 0)
    step, not_verified = PassingHash._step, OpenUpload.not_verified
    answered = threading.Event()

    def step_later(hashed: PassingHash, buffer: memoryview) -> None:
        answered.wait()
        step(hashed, buffer)

    def answer(opened: OpenUpload) -> errors.NotVerified:
        answered.set()
        return not_verified(opened)

    monkeypatch.setattr(PassingHash, "_step", step_later)
    monkeypatch.setattr(OpenUpload, "not_verified", answer)
    monkeypatch.setattr(PassingHash, "feed", lambda hashed, data: hashed.advance(hashed._end + len(data)))
    data = DATA + b"of no blob"
    (tmp_path / "data").write_bytes(data)
    with OpStoreClient(daemons.https[0].url, token=ADMIN_TOKEN) as client:
        assert client.push("pca", tmp_path / "data").digest == digest_of(data)
    assert answered.is_set()
