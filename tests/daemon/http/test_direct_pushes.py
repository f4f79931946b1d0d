"""Pushes past the daemons, to a real object store: each request reaches the next of two daemons."""

import base64
import hashlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
import requests

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import records, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.samples import BLOCKS
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.direct import LIFETIME
from opstore_daemon.savers.object_records import DraftRecord
from opstore_daemon.savers.object_store import parts
from opstore_daemon.savers.object_store.keys import object_name
from opstore_daemon.store.ingest import open_upload
from tests.support.http_client import Http
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket, ObjectStore
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN, READ_TOKEN, TIMEOUT, WRITE_TOKEN

MIB = 1024 * 1024
PART = 5 * MIB
DATA = random_bytes(2 * PART + 12345)
SIZES = [PART, PART, 12345]
CHECKSUM = "x-amz-checksum-sha256"


def cut(data: bytes, start: int, *sizes: int) -> list[bytes]:
    """Return pieces of these sizes from `start` on."""
    ends = list(itertools.accumulate(sizes, initial=start))
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


def checksum(piece: bytes) -> str:
    return base64.b64encode(hashlib.sha256(piece).digest()).decode()


def put(url: str, piece: bytes, **headers: str) -> requests.Response:
    """Send a part as a client does, with other headers if they are given."""
    return requests.put(url, piece, headers={CHECKSUM: checksum(piece), **headers}, timeout=TIMEOUT)


class Daemons:
    """Daemons of one store. `http` is that of the next one in turn."""

    def __init__(self, servers: Sequence[OpStoreServer], https: Sequence[Http]) -> None:
        self.servers, self.https = servers, https
        self._turns = itertools.cycle(https)

    @property
    def http(self) -> Http:
        return next(self._turns)

    def saver(self, at: int = 0) -> S3Saver:
        saver = self.servers[at].store.saver
        assert isinstance(saver, S3Saver)
        return saver

    def draft(self, upload: str) -> DraftRecord:
        found = self.saver()._records.draft(upload)
        assert found is not None
        return found

    def create(self, size: int = len(DATA)) -> str:
        created = self.http.post(routes.UPLOADS, {"size": size}).json()
        assert created["part_size"] == PART
        upload: str = created["upload"]
        return upload

    def offset(self, upload: str) -> int:
        offset: int = self.http.get(f"/v1/uploads/{upload}").json()["offset"]
        return offset

    def ask(self, upload: str, offset: int, pieces: Sequence[bytes]) -> requests.Response:
        """Ask for the URLs of these parts."""
        wanted = [{"size": len(piece), "digest": digest_of(piece)} for piece in pieces]
        return self.http.post(f"/v1/uploads/{upload}/parts/urls", {"offset": offset, "parts": wanted})

    def urls(self, upload: str, offset: int, pieces: Sequence[bytes]) -> Sequence[str]:
        answer = self.ask(upload, offset, pieces)
        assert answer.status_code == 200, answer.text
        return records.decoder(records.PartUrls).decode(answer.content).urls

    def send(self, upload: str, offset: int, pieces: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send the parts; return what a client reports of them."""
        sent = []
        for url, piece in zip(self.urls(upload, offset, pieces), pieces, strict=True):
            answer = put(url, piece)
            assert answer.status_code == 200, answer.text
            sent.append({"size": len(piece), "digest": digest_of(piece), "etag": answer.headers["ETag"]})
        return sent

    def report(self, upload: str, offset: int, sent: Sequence[dict[str, Any]]) -> requests.Response:
        return self.http.post(f"/v1/uploads/{upload}/parts", {"offset": offset, "parts": sent})

    def finish(self, upload: str, http: Http | None = None) -> requests.Response:
        """Make the version of the upload, of an op of its own."""
        wanted = {"upload": upload, "digest": digest_of(DATA), "size": len(DATA)}
        return (http or self.http).post(f"/v1/ops/{upload}/versions", wanted)

    def check(self, upload: str) -> None:
        """Make the version, and check that its bytes are right."""
        answer = self.finish(upload)
        assert (answer.status_code, answer.json().get("digest")) == (201, digest_of(DATA)), answer.text
        assert self.http.pull(upload).content == DATA


@pytest.fixture(scope="module")
def prefix(object_store: ObjectStore) -> Iterator[Bucket]:
    with object_store.fresh_prefix() as found:
        yield found


@pytest.fixture(scope="module")
def daemons(prefix: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    with ExitStack() as held:
        monkeypatch = held.enter_context(pytest.MonkeyPatch.context())
        for name, value in prefix.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(open_upload, "DIRECT_FROM", PART + 1)
        monkeypatch.setattr(parts, "PART", PART)
        folder = tmp_path_factory.mktemp("daemons")
        database = held.enter_context(closing(Database(f"sqlite:///{folder}/opstore.db")))
        database.acquire(None)
        servers, https = [], []
        for _ in range(2):
            saver = S3Saver(prefix.url, direct="on")
            server = OpStoreServer(
                saver, database, token=ADMIN_TOKEN, tokens={WRITE_TOKEN: "write", READ_TOKEN: "read"}
            )
            servers.append(held.enter_context(closing(server)))
            listener = held.enter_context(Listener(server))
            https.append(held.enter_context(Http(listener.url)))
        yield Daemons(servers, https)


# --- a push -----------------------------------------------------------------------------------------------------------


def test_no_byte_of_an_op_passes_the_daemons_before_they_verify_it_once(
    daemons: Daemons, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # that of this test's own client
    requests_ = [Requests(daemons.saver(at)) for at in range(2)]
    upload = daemons.create()
    first, second, rest = cut(DATA, 0, *SIZES)
    answer = daemons.report(upload, 0, daemons.send(upload, 0, [first]))
    assert answer.json() == {"upload": upload, "offset": PART, "size": len(DATA), "part_size": PART}
    assert answer.headers["Upload-Offset"] == str(PART)
    assert daemons.report(upload, PART, daemons.send(upload, PART, [second, rest])).json()["offset"] == len(DATA)
    pushed = daemons.finish(upload)
    assert (pushed.status_code, pushed.json()["digest"]) == (201, digest_of(DATA))
    total = requests_[0] + requests_[1]
    gets = total.pop("GetObject")
    assert gets <= 1 + BLOCKS, "one read for the digest, and the sample"
    assert total == {"CreateMultipartUpload": 1, "ListParts": 2, "CompleteMultipartUpload": 1}
    assert sum(each.sent for each in requests_) < PART
    assert daemons.http.pull(upload).content == DATA
    assert "X-Amz" not in caplog.text
    assert upload not in daemons.http.get("/v1/uploads").text


def test_part_urls_expire_after_a_while(daemons: Daemons) -> None:
    upload = daemons.create()
    answer = daemons.ask(upload, 0, cut(DATA, 0, PART))
    found = records.decoder(records.PartUrls).decode(answer.content)
    (url,) = found.urls
    assert f"X-Amz-Expires={LIFETIME}&" in url
    assert "X-Amz-SignedHeaders=content-length%3Bhost%3Bx-amz-checksum-sha256&" in url
    left = found.expires_at - daemons.servers[0].store.now()
    assert 0 <= LIFETIME - left.total_seconds() < 60
    assert url not in repr(found)


def test_a_url_stores_these_bytes_as_this_part_and_allows_nothing_else(daemons: Daemons, prefix: Bucket) -> None:
    upload, other = daemons.create(), daemons.create()
    first, second = cut(DATA, 0, PART, PART)
    url, _ = daemons.urls(upload, 0, [first, second])
    daemons.urls(other, 0, [first])
    one, two = daemons.draft(upload), daemons.draft(other)
    assert one.multipart is not None
    assert two.multipart is not None
    for changed in (
        url.replace("partNumber=1", "partNumber=2"),
        url.replace(one.multipart, two.multipart),
        url.replace(object_name(one.key), object_name(two.key)),
        url.replace("X-Amz-Expires=900", "X-Amz-Expires=9000"),
        url.replace("127.0.0.1", "localhost"),
        url.partition("&X-Amz")[0],
        url.partition("?")[0],
    ):
        assert changed != url
        assert put(changed, first).status_code == 403
    wrong = b"?" + first[1:]
    for piece, headers in (
        (wrong, {}),
        (wrong, {CHECKSUM: checksum(first)}),
        (first[:-1], {}),
        (first[:-1], {CHECKSUM: checksum(first)}),
        (first + b"more", {CHECKSUM: checksum(first)}),
        (first, {CHECKSUM: ""}),
    ):
        assert put(url, piece, **headers).status_code in (400, 403)
    for method in ("GET", "DELETE", "POST"):
        answer = requests.request(method, url, data=first, headers={CHECKSUM: checksum(first)}, timeout=TIMEOUT)
        assert answer.status_code in (400, 403, 405)
    assert list(daemons.saver().bucket.parts(object_name(one.key), one.multipart)) == []
    assert put(url, first).status_code == 200
    assert object_name(one.key) not in prefix.list_keys(), "a part is no object"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_requests_that_do_not_fit_the_upload_are_refused(daemons: Daemons) -> None:
    upload = daemons.create()
    sent = daemons.send(upload, 0, cut(DATA, 0, PART))
    fence = daemons.draft(upload).fence
    one = {"size": PART, "digest": digest_of(DATA[:PART])}
    for offset, sizes, status, code in (
        (1, [PART], 409, "OffsetMismatch"),
        (PART, [PART], 409, "OffsetMismatch"),
        (0, [PART - 1], 400, "InvalidRequest"),
        (0, [PART + 1], 400, "InvalidRequest"),
        (0, [len(DATA)], 400, "InvalidRequest"),
        (0, [PART, PART, 12344], 400, "InvalidRequest"),
        (0, [PART, PART, 12345, 1], 400, "InvalidRequest"),
        (0, [], 400, "InvalidRequest"),
        (0, [0], 400, "InvalidRequest"),
        (0, [PART] * 33, 400, "InvalidRequest"),
    ):
        wanted = [{**one, "size": size} for size in sizes]
        reported = [{**sent[0], "size": size} for size in sizes]
        for path, body in (("/parts/urls", wanted), ("/parts", reported)):
            if path == "/parts" and sizes[0:1] > [PART]:
                continue  # larger parts may have been necessary before
            answer = daemons.http.post(f"/v1/uploads/{upload}{path}", {"offset": offset, "parts": body})
            assert (answer.status_code, answer.json()["code"]) == (status, code), (path, offset, sizes)
    assert daemons.draft(upload).size == 0
    before = daemons.draft(upload).fence
    assert before > fence, "requests with the right offset take the upload over"
    assert daemons.ask(upload, 7, cut(DATA, 0, PART)).status_code == 409
    assert daemons.draft(upload).fence == before, "others don't"
    assert daemons.report(upload, 0, sent).status_code == 200
    daemons.http.delete(f"/v1/uploads/{upload}")
    assert daemons.report(upload, PART, sent).json()["code"] == "UploadNotFound"


def test_only_the_owner_gets_urls_and_reports_parts(daemons: Daemons) -> None:
    upload = daemons.create()
    sent = daemons.send(upload, 0, cut(DATA, 0, PART))
    wanted = [{"size": PART, "digest": digest_of(DATA[:PART])}]
    for token, status in ((WRITE_TOKEN, 404), (READ_TOKEN, 403), (None, 401)):
        http = daemons.http.with_token(token)
        for path, body in (("/parts/urls", wanted), ("/parts", sent)):
            answer = http.post(f"/v1/uploads/{upload}{path}", {"offset": 0, "parts": body})
            assert answer.status_code == status, (path, token)
    assert daemons.report(upload, 0, sent).json()["offset"] == PART


@pytest.mark.slow
def test_where_parts_go_through_the_daemon_the_upload_says_so(daemons: Daemons) -> None:
    def part_size(answer: requests.Response) -> object:
        return answer.json()["part_size"]

    pieces = cut(DATA, 0, PART)
    for size in (None, PART, 1, 0):
        created = daemons.http.post(routes.UPLOADS, {"size": size})
        assert part_size(created) is None
        assert part_size(daemons.http.get(f"/v1/uploads/{created.json()['upload']}")) is None
    huge = daemons.http.post(routes.UPLOADS, {"size": 5 * 1024**4})
    assert part_size(huge) == 525 * MIB
    upload = daemons.create()
    assert part_size(daemons.http.get(f"/v1/uploads/{upload}")) == PART
    assert part_size(daemons.http.append(upload, DATA[:100])) is None, "bytes behind the last part"
    assert daemons.ask(upload, 100, pieces).json()["code"] == "InvalidRequest"
    assert part_size(daemons.http.append(upload, DATA[100:], 100)) is None
    daemons.check(upload)


def test_a_saver_of_files_takes_no_part_past_the_daemon(http: Http) -> None:
    created = http.post(routes.UPLOADS, {"size": 20 * MIB}).json()
    assert created["part_size"] is None
    upload, pieces = created["upload"], cut(DATA, 0, PART)
    for path, more in (("/parts/urls", {}), ("/parts", {"etag": "x"})):
        body = {"offset": 0, "parts": [{"size": PART, "digest": digest_of(pieces[0]), **more}]}
        assert http.post(f"/v1/uploads/{upload}{path}", body).json()["code"] == "InvalidRequest"
    assert http.append(upload, DATA).status_code == 200


# --- what is reported -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_parts_count_up_to_the_first_that_is_not_there_as_reported(daemons: Daemons) -> None:
    upload = daemons.create()
    pieces = cut(DATA, 0, *SIZES)
    sent = daemons.send(upload, 0, pieces[:1])
    url = daemons.urls(upload, 0, pieces)[1]
    missing = {"size": PART, "digest": digest_of(pieces[1]), "etag": '"0123456789abcdef0123456789abcdef"'}
    answer = daemons.report(upload, 0, [*sent, missing])
    assert (answer.status_code, answer.json()["code"]) == (409, "PartNotStored")
    assert (answer.json()["details"]["offset"], daemons.offset(upload)) == (PART, PART)
    assert daemons.report(upload, 0, [*sent, missing]).json()["code"] == "OffsetMismatch"
    assert put(url, pieces[1]).status_code == 200, "the URL is still that of the second part"
    assert daemons.report(upload, PART, [missing]).json()["code"] == "PartNotStored", "the etag is another one"
    assert daemons.report(upload, PART, daemons.send(upload, PART, pieces[1:])).json()["offset"] == len(DATA)
    daemons.check(upload)


@pytest.mark.slow
def test_a_report_whose_answer_was_lost_is_repeated_without_harm(daemons: Daemons) -> None:
    upload = daemons.create()
    pieces = cut(DATA, 0, *SIZES)
    sent = daemons.send(upload, 0, pieces)
    assert daemons.report(upload, 0, sent).json()["offset"] == len(DATA)
    for _ in range(3):
        again = daemons.report(upload, 0, sent)
        assert (again.json()["code"], again.json()["details"]["offset"]) == ("OffsetMismatch", len(DATA))
    daemons.check(upload)


@pytest.mark.slow
def test_parts_that_were_sent_twice_and_etags_of_other_forms_are_found(daemons: Daemons) -> None:
    upload = daemons.create()
    pieces = cut(DATA, 0, *SIZES)
    daemons.send(upload, 0, pieces)
    sent = daemons.send(upload, 0, pieces)
    assert sent[0]["etag"].startswith('"')
    sent[0]["etag"] = sent[0]["etag"].strip('"')
    sent[1]["etag"] = "W/" + sent[1]["etag"]
    assert daemons.report(upload, 0, sent).json()["offset"] == len(DATA)
    daemons.check(upload)


@pytest.mark.slow
def test_parts_and_appends_alternate(daemons: Daemons) -> None:
    upload = daemons.create()
    first, second, _ = cut(DATA, 0, *SIZES)
    assert daemons.http.append(upload, first).json()["part_size"] == PART
    daemons.report(upload, PART, daemons.send(upload, PART, [second]))
    assert daemons.http.append(upload, DATA[2 * PART :], 2 * PART).json()["offset"] == len(DATA)
    daemons.check(upload)


# --- late parts -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before the last append", "after it"])
def test_a_part_that_arrives_late_is_not_in_the_version(daemons: Daemons, when: str) -> None:
    """A client falls back to appends of other bytes, and its earlier request for a part ends later."""
    late = random_bytes(PART, seed=7)
    upload = daemons.create()
    url = daemons.urls(upload, 0, [late])[0]
    http = daemons.http
    assert http.append(upload, DATA[: 2 * PART]).status_code == 200
    if when == "before the last append":
        assert put(url, late).status_code == 200
    assert http.append(upload, DATA[2 * PART :], 2 * PART).json()["offset"] == len(DATA)
    if when == "after it":
        assert put(url, late).status_code == 200
    daemons.check(upload)
    assert put(url, late).status_code == 404
    assert daemons.http.pull(upload).content == DATA


@pytest.mark.slow
@pytest.mark.parametrize("daemon", ["that gave the URL", "another"])
def test_bytes_of_a_part_with_a_url_are_read_back_whoever_sent_them(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch, daemon: str
) -> None:
    """As if the object store had put the late part into the object, whatever the etags and checksums are."""
    wrong = b"?" + DATA[1:]
    upload = daemons.create()
    first, second = daemons.https
    first.post(f"/v1/uploads/{upload}/parts/urls", {"offset": 0, "parts": [{"size": PART, "digest": digest_of(b"")}]})
    http = first if daemon == "that gave the URL" else second
    assert http.append(upload, DATA).json()["offset"] == len(DATA)
    saver = daemons.saver(daemons.https.index(http))
    monkeypatch.setattr(saver.bucket, "complete", lambda name, _multipart, _parts: saver.bucket.put(name, wrong))
    answer = daemons.finish(upload, http)
    assert (answer.status_code, answer.json()["code"]) == (422, "DigestMismatch")
    assert http.get(f"/v1/ops/{upload}").status_code == 404


@pytest.mark.slow
def test_a_wrong_digest_of_a_part_has_the_upload_begin_again(daemons: Daemons) -> None:
    upload = daemons.create()
    pieces = cut(DATA, 0, *SIZES)
    sent = daemons.send(upload, 0, pieces)
    sent[1]["digest"] = digest_of(b"other")
    assert daemons.report(upload, 0, sent).json()["offset"] == len(DATA)
    assert daemons.finish(upload).json()["code"] == "UploadNotOpen"
    assert daemons.offset(upload) == 0
    assert daemons.report(upload, 0, daemons.send(upload, 0, pieces)).status_code == 200
    daemons.check(upload)


@pytest.mark.slow
def test_parts_that_the_object_store_has_lost_are_sent_again(daemons: Daemons) -> None:
    upload = daemons.create()
    pieces = cut(DATA, 0, *SIZES)
    daemons.report(upload, 0, daemons.send(upload, 0, pieces[:1]))
    sent = daemons.send(upload, PART, pieces[1:2])
    draft = daemons.draft(upload)
    assert draft.multipart is not None
    daemons.saver().bucket.abort(object_name(draft.key), draft.multipart)
    answer = daemons.report(upload, PART, sent)
    assert (answer.status_code, answer.json()["code"]) == (503, "StorageFailed")
    assert daemons.offset(upload) == 0
    assert daemons.report(upload, 0, daemons.send(upload, 0, pieces)).status_code == 200
    daemons.check(upload)
