"""Appends: only at the offset, within the size, with the same token, and one at a time."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.channel import ErrorResponseTask
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.file_draft import FileDraft
from opstore_daemon.store.ingest import open_uploads
from opstore_daemon.system import full_disk
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.servers import TIMEOUT, WRITE_TOKEN
from tests.support.waiting import wait_for

DATA = b"0123456789"


def begin(connection: Raw, upload: str, offset: int, length: int | None, token: str | None = None) -> None:
    """Send the head of an append."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"Content-Type: {routes.APPEND_TYPE}", f"Upload-Offset: {offset}", framing]
    given = {} if token is None else {"token": token}
    connection.send(head("PATCH", f"/v1/uploads/{upload}", *lines, host=connection.host, **given))


def offset_of(http: Http, upload: str) -> int:
    offset: int = http.get(f"/v1/uploads/{upload}").json()["offset"]
    return offset


def staged(server: OpStoreServer, upload: str) -> int:
    """Return how many bytes of the upload have arrived: those in its file, or in the daemon and its object store."""
    saver = server.store.saver
    if isinstance(saver, FileSaver):
        return (saver.root / "staging" / upload).stat().st_size
    opened = server.store.uploads.opened.get(upload)
    return 0 if opened is None else opened.draft.offset


def pushed(http: Http, upload: str) -> str:
    response = http.post("/v1/ops/up/versions", {"upload": upload})
    assert response.status_code == 201, response.text
    digest: str = response.json()["digest"]
    assert digest_of(http.pull("up").content) == digest
    return digest


def test_an_upload_is_created_and_reports_its_offset(http: Http) -> None:
    created = http.post(routes.UPLOADS, {"size": 10})
    upload = created.json()["upload"]
    assert (created.status_code, created.json()) == (
        201,
        {"upload": upload, "offset": 0, "size": 10, "part_size": None},
    )
    assert created.headers["Location"] == f"/v1/uploads/{upload}"
    for data, offset in ((DATA[:4], 0), (DATA[4:], 4)):
        response = http.append(upload, data, offset)
        told = {"upload": upload, "offset": offset + len(data), "size": 10, "part_size": None}
        assert (response.status_code, response.json()) == (200, told)
        assert response.headers[routes.UPLOAD_OFFSET] == str(offset + len(data))
    assert pushed(http, upload) == digest_of(DATA)


def test_an_append_at_another_offset_is_refused_with_the_current_one(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA[:5])
    watch.mark()
    for given in (0, 4, 6, 10**17):
        details = watch.assert_problem(http.append(upload, DATA[5:], given), 409, "OffsetMismatch")
        assert details == {"upload": upload, "offset": 5, "given": given}
        watch.assert_problem(http.append(upload, b"", given), 409, "OffsetMismatch")
    assert http.append(upload, DATA[5:], 5).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_an_invalid_offset_is_refused(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA[:5])
    watch.mark()
    for offset in (None, "", "-1", "-0", "+5", "05", "5.0", "0x5", "5 5", "5,5", "five", "9" * 19, "9" * 5000):
        for data in (DATA[5:], b""):
            watch.assert_problem(http.append(upload, data, offset), 400, "InvalidRequest")


def test_an_append_cannot_be_repeated(http: Http, watch: Watch) -> None:
    upload = http.upload()
    assert http.append(upload, DATA, 0).status_code == 200
    watch.mark()
    watch.assert_problem(http.append(upload, DATA, 0), 409, "OffsetMismatch")
    assert pushed(http, upload) == digest_of(DATA)


def test_an_unknown_upload_is_not_found(http: Http, watch: Watch) -> None:
    for upload in ("a" * 32, "A" * 32, "a" * 31, "a" * 33, "x", "..", "%2e%2e", "a" * 31 + "%00", "%C3%A4", "a" * 5000):
        for response in (
            http.get(f"/v1/uploads/{upload}"),
            http.delete(f"/v1/uploads/{upload}"),
            http.append(upload, DATA),
            http.append(upload, b""),
            http.append(upload, iter([DATA])) if len(upload) == 32 and upload.islower() else http.append(upload, DATA),
        ):
            if upload in ("..", "%2e%2e"):  # requests resolves ".." itself
                assert response.status_code in (404, 405)
            else:
                watch.assert_problem(response, 404, "UploadNotFound")
    for upload in ("a" * 32, "x", "", "../x", "a\0", "ä" * 100):
        response = http.post("/v1/ops/up/versions", {"upload": upload})
        watch.assert_problem(response, 404, "UploadNotFound")


def test_a_finished_upload_is_deleted(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA)
    pushed(http, upload)
    watch.mark()
    watch.assert_problem(http.append(upload, DATA, 10), 404, "UploadNotFound")
    watch.assert_problem(http.append(upload, b"", 10), 404, "UploadNotFound")
    watch.assert_problem(http.get(f"/v1/uploads/{upload}"), 404, "UploadNotFound")
    watch.assert_problem(http.delete(f"/v1/uploads/{upload}"), 404, "UploadNotFound")
    watch.assert_problem(http.post("/v1/ops/up/versions", {"upload": upload}), 404, "UploadNotFound")


def test_an_upload_of_somebody_else_does_not_exist(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA[:5])
    other = http.with_token(WRITE_TOKEN)
    watch.mark()
    for response in (
        other.get(f"/v1/uploads/{upload}"),
        other.delete(f"/v1/uploads/{upload}"),
        other.append(upload, DATA[5:], 5),
        other.append(upload, b"", 5),
        other.append(upload, DATA[5:], 0),
        other.post("/v1/ops/up/versions", {"upload": upload}),
    ):
        assert watch.assert_problem(response, 404, "UploadNotFound") == {"upload": upload}
    assert http.append(upload, DATA[5:], 5).status_code == 200


@pytest.mark.local  # what an object store has not stored yet is not listed
def test_listing_the_uploads_of_a_token_does_not_claim_them(
    http: Http, listener: Listener, server: OpStoreServer
) -> None:
    other = http.with_token(WRITE_TOKEN)
    assert other.get("/v1/uploads").json() == {"uploads": [], "next_cursor": None}
    made = [http.post("/v1/uploads", {"size": size}).json()["upload"] for size in (10, 20, None)]
    with Raw(listener.port) as connection:
        begin(connection, made[0], 0, 10)
        connection.send(b"12345")
        wait_for(lambda: staged(server, made[0]) == 5)
        found = {each["upload"]: each for each in http.get("/v1/uploads").json()["uploads"]}
        assert {name: (each["offset"], each["size"]) for name, each in found.items()} == {
            made[0]: (5, 10),
            made[1]: (0, 20),
            made[2]: (0, None),
        }
        connection.send(b"67890")
        assert connection.answer().status == 200, "it was not taken over"
    assert other.get("/v1/uploads").json()["uploads"] == []
    pages = [http.get(f"/v1/uploads?limit=2{more}").json() for more in ("", f"&cursor={sorted(made)[1]}")]
    assert [each["upload"] for page in pages for each in page["uploads"]] == sorted(made)
    assert [page["next_cursor"] for page in pages] == [sorted(made)[1], None]
    pushed(http, made[0])
    assert len(http.get("/v1/uploads").json()["uploads"]) == 2


def test_uploads_are_listed_with_their_stored_sizes_after_a_restart(http: Http, server: OpStoreServer) -> None:
    upload = http.post("/v1/uploads", {"size": 10}).json()["upload"]
    http.append(upload, b"12345")
    server.store.uploads.close()
    (found,) = http.get("/v1/uploads").json()["uploads"]
    assert (found["offset"], found["size"]) == (5, 10)
    days = (datetime.fromisoformat(found["expires_at"]) - datetime.now(UTC)).total_seconds() / 86400
    assert 6.9 < days < 7.01
    assert offset_of(http, upload) == 5


def test_an_append_of_another_type_is_refused(http: Http, watch: Watch) -> None:
    upload = http.upload()
    watch.mark()
    for given in ("", routes.JSON, routes.BYTES_TYPE, "application/x-partial-upload"):
        for data in (DATA, b""):
            response = http.append(upload, data, 0, **{"Content-Type": given})
            watch.assert_problem(response, 415, "UnsupportedContent")
    response = http.append(upload, DATA, 0, **{"Content-Encoding": "gzip"})
    watch.assert_problem(response, 415, "UnsupportedContent")


def test_too_many_bytes_are_refused_by_their_declared_length(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA[:5], size=10)
    watch.mark()
    for length in (6, 100, 3_000_000):
        details = watch.assert_problem(http.append(upload, b"x" * length, 5), 413, "TooLarge")
        assert details == {"what": "the upload", "size": 5 + length, "limit": 10}
    assert http.append(upload, DATA[5:], 5).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_too_many_bytes_of_unknown_length_are_refused_as_they_arrive(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA[:5], size=10)
    watch.assert_problem(http.append(upload, iter([DATA[5:8], b"x" * 9]), 5), 413, "TooLarge", unchanged=False)
    at = offset_of(http, upload)
    assert at in (5, 8)  # as the bytes came in one piece or two
    assert http.append(upload, DATA[at:], at).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_a_chunk_after_a_refused_one_is_not_kept(http: Http, listener: Listener, watch: Watch) -> None:
    upload = http.upload(DATA[:5], size=10)
    watch.mark()
    with Raw(listener.port) as connection:
        begin(connection, upload, 5, None)
        connection.send(b"9\r\nxxxxxxxxx\r\n2\r\nyy\r\n0\r\n\r\n")
        watch.assert_problem(connection.answer(), 413, "TooLarge")
    assert http.append(upload, DATA[5:], 5).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_an_upload_is_released_before_the_error_response_is_sent(
    http: Http, listener: Listener, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = threading.Event()
    service = ErrorResponseTask.service

    def dawdling(task: ErrorResponseTask) -> None:
        service(task)
        appended.wait(TIMEOUT)

    monkeypatch.setattr(ErrorResponseTask, "service", dawdling)
    upload = http.upload(DATA[:5], size=10)
    watch.mark()
    try:
        for body, status, code in ((b"6\r\nxxxxxx\r\n", 413, "TooLarge"), (b"?\r\n", 400, "InvalidRequest")):
            with Raw(listener.port) as connection:
                begin(connection, upload, 5, None)
                connection.send(body)
                watch.assert_problem(connection.answer(), status, code)
        assert http.append(upload, DATA[5:], 5).status_code == 200
    finally:
        appended.set()


def test_an_append_of_unknown_length_is_accepted(http: Http) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, 3_000_000, 100_000):
            yield bytes([start // 100_000]) * 100_000

    for size in (3_000_000, None):
        upload = http.upload(size=size)
        assert http.append(upload, pieces()).json()["offset"] == 3_000_000
        assert http.post("/v1/ops/up/versions", {"upload": upload, "new": True}).status_code == 201
        assert http.pull("up").content == b"".join(pieces())


def test_chunks_may_have_extensions_and_a_trailer(http: Http, listener: Listener) -> None:
    upload = http.upload()
    with Raw(listener.port) as connection:
        begin(connection, upload, 0, None)
        for byte in b'4;a=b\r\n0123\r\n006;c="d"\r\n456789\r\n0\r\nX-Trailer: 1\r\n\r\n':
            connection.send(bytes([byte]))
        assert connection.answer().status == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_an_empty_append_returns_the_offset(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA)
    watch.mark()
    nothing: list[bytes | Iterator[bytes]] = [b"", iter([])]
    for data in nothing:
        response = http.append(upload, data, 10)
        assert (response.status_code, response.json()["offset"]) == (200, 10)
    watch.assert_unchanged()


def test_an_empty_upload_makes_a_version(http: Http) -> None:
    for size in (0, None):
        upload = http.upload(size=size)
        response = http.post("/v1/ops/up/versions", {"upload": upload, "size": 0, "digest": digest_of(b"")})
        assert response.json()["size"] == 0


def test_a_version_of_an_incomplete_upload_is_refused_and_the_upload_can_resume(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA[:5], size=10)
    watch.mark()
    response = http.post("/v1/ops/up/versions", {"upload": upload})
    assert watch.assert_problem(response, 409, "UploadIncomplete") == {"upload": upload, "offset": 5, "size": 10}
    assert http.append(upload, DATA[5:], 5).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_a_client_that_disconnects_can_resume_at_the_offset(
    http: Http, listener: Listener, server: OpStoreServer
) -> None:
    for length, sent in ((10, DATA[:4]), (None, b"4\r\n" + DATA[:4] + b"\r\n6\r\n")):
        upload = http.upload()
        with Raw(listener.port) as connection:
            begin(connection, upload, 0, length)
            connection.send(sent)
            wait_for(lambda upload=upload: staged(server, upload) == 4, "the arrival")  # type: ignore[misc]
        assert offset_of(http, upload) == 4
        assert http.append(upload, DATA[4:], 4).status_code == 200
        assert http.post("/v1/ops/up/versions", {"upload": upload}).json()["digest"] == digest_of(DATA)


def test_a_client_that_knows_the_offset_resumes_without_a_request(
    http: Http, listener: Listener, server: OpStoreServer
) -> None:
    upload = http.upload()
    with Raw(listener.port) as connection:
        begin(connection, upload, 0, 10)
        connection.send(DATA[:4])
        wait_for(lambda: staged(server, upload) == 4, "the arrival")
    wait_for(lambda: http.append(upload, DATA[4:], 4).status_code == 200, "the end of the connection")
    assert pushed(http, upload) == digest_of(DATA)


def test_a_client_that_requests_the_offset_claims_the_upload(
    http: Http, listener: Listener, server: OpStoreServer
) -> None:
    upload = http.upload(size=10)
    with Raw(listener.port) as first:
        begin(first, upload, 0, 10)
        first.send(DATA[:4])
        wait_for(lambda: staged(server, upload) == 4, "the arrival")
        assert offset_of(http, upload) == 4
        first.send(b"xx")
        refused = first.answer()
        assert (refused.status, b"UploadNotOpen" in refused.body) == (409, True)
        assert first.is_closed()
        assert staged(server, upload) == 4
    assert http.append(upload, DATA[4:], 4).status_code == 200
    assert pushed(http, upload) == digest_of(DATA)


@pytest.mark.slow
def test_a_second_append_at_the_same_time_is_refused(
    http: Http, listener: Listener, server: OpStoreServer, watch: Watch
) -> None:
    upload = http.upload(size=10)
    with Raw(listener.port) as first:
        begin(first, upload, 0, 10)
        first.send(DATA[:4])
        wait_for(lambda: staged(server, upload) == 4, "the arrival")
        watch.mark()
        for offset in (0, 4):
            watch.assert_problem(http.append(upload, b"yy", offset), 409, "UploadNotOpen")
            watch.assert_problem(http.append(upload, b"", offset), 409, "UploadNotOpen")
        first.send(DATA[4:])
        assert first.answer().status == 200
    assert pushed(http, upload) == digest_of(DATA)


def test_no_version_is_made_of_an_upload_that_is_still_appended_to(
    http: Http, listener: Listener, server: OpStoreServer
) -> None:
    upload = http.upload()
    with Raw(listener.port) as first:
        begin(first, upload, 0, 10)
        first.send(DATA[:4])
        wait_for(lambda: staged(server, upload) == 4, "the arrival")
        assert http.post("/v1/ops/up/versions", {"upload": upload}).json()["digest"] == digest_of(DATA[:4])
        first.send(DATA[4:])
        assert first.answer().status in (404, 409)
    assert http.pull("up").content == DATA[:4]


def test_an_upload_is_discarded(http: Http, watch: Watch) -> None:
    upload = http.upload(DATA)
    assert http.delete(f"/v1/uploads/{upload}").status_code == 204
    watch.assert_unchanged()
    watch.assert_problem(http.delete(f"/v1/uploads/{upload}"), 404, "UploadNotFound")


def test_a_discarded_upload_accepts_no_more_bytes(
    http: Http, listener: Listener, server: OpStoreServer, watch: Watch
) -> None:
    upload = http.upload()
    with Raw(listener.port) as first:
        begin(first, upload, 0, 10)
        first.send(DATA[:4])
        wait_for(lambda: staged(server, upload) == 4, "the arrival")
        assert http.delete(f"/v1/uploads/{upload}").status_code == 204
        first.send(DATA[4:])
        watch.assert_problem(first.answer(), 409, "UploadNotOpen")


@pytest.mark.local  # with an object store, an append reopens it
def test_an_upload_that_was_closed_for_others_is_reopened(
    http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch, server: OpStoreServer
) -> None:
    monkeypatch.setattr(open_uploads, "MAX_OPEN", 2)
    made = [http.upload(DATA[:5]) for _ in range(5)]
    assert http.append(made[0], DATA[5:], 5).json()["code"] == "UploadNotOpen"
    assert offset_of(http, made[0]) == 5
    with Raw(listener.port) as connection:
        begin(connection, made[0], 5, 5)
        connection.send(DATA[5:7])
        wait_for(lambda: staged(server, made[0]) == 7, "the arrival")
        assert [offset_of(http, upload) for upload in made[1:]] == [5] * 4  # who is being sent to stays open
        connection.send(DATA[7:])
        assert connection.answer().status == 200
    assert pushed(http, made[0]) == digest_of(DATA)


@pytest.mark.local
def test_an_upload_is_discarded_only_after_a_running_publication(
    http: Http, server: OpStoreServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload = http.upload(DATA)
    threads = [threading.Thread(target=server.store.uploads.discard_bytes, args=(upload,)) for _ in range(2)]
    publish = FileDraft.publish

    def disturbed(draft: FileDraft, digest: Digest) -> None:
        for thread in threads:
            thread.start()
            thread.join(0.2)  # they have to wait for us, so this takes its time
        assert staged(server, upload) == 10
        publish(draft, digest)

    monkeypatch.setattr(FileDraft, "publish", disturbed)
    assert pushed(http, upload) == digest_of(DATA)
    for thread in threads:
        thread.join()
    assert list((tmp_path / "blobs" / "staging").iterdir()) == []


@pytest.mark.local
def test_an_upload_without_enough_space_is_refused_before_its_first_byte(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSaver, "free", lambda _saver: full_disk.MARGIN + 100)
    watch.assert_problem(http.post(routes.UPLOADS, {"size": 101}), 507, "StorageFull")
    assert http.post(routes.UPLOADS, {"size": 100}).status_code == 201
    created: dict[str, Any] = http.post(routes.UPLOADS, {}).json()
    assert created["size"] is None
