"""Drafts of S3Saver: the parts that they send, whose bytes count, and what memory they take."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.base import BytesLost, Draft
from opstore_daemon.savers.conformance.common import read_back
from opstore_daemon.savers.object_records import DraftTaken
from opstore_daemon.savers.object_store.buffers import Budget
from opstore_daemon.savers.object_store.client import Sent, UploadGone
from opstore_daemon.savers.object_store.keys import object_name
from opstore_daemon.savers.object_store.parts import MIB
from tests.daemon.savers.s3 import PART, Storage, before
from tests.support.object_requests import Requests
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes

UPLOAD, OTHER = "a" * 32, "b" * 32
DATA = random_bytes(2 * PART + 1000)
DIGEST = digest_of(DATA)


@pytest.fixture
def storage(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("opstore_daemon.savers.object_store.draft.part_size", lambda *_: PART)
    storage = Storage(bucket, tmp_path)
    yield storage
    storage.database.close()


@pytest.fixture
def saver(storage: Storage) -> S3Saver:
    return storage.saver()


def fill(draft: Draft, data: bytes = DATA, step: int = READ_SIZE - 7) -> None:
    """Append the rest of the data, in steps that do not end where parts do."""
    for start in range(draft.offset, len(data), step):
        draft.append(data[start : start + step])


def raises(error: Exception) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise error

    return call


def get(saver: S3Saver) -> bytes:
    with saver.open(DIGEST) as file:
        return file.read()


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_upload_that_fits_into_a_part_is_one_put(saver: S3Saver, storage: Storage) -> None:
    requests = Requests(saver)
    with closing(saver.draft(UPLOAD)) as draft:
        draft.expect(PART)
        draft.append(DATA[:PART])
        draft.flush()
        draft.publish(digest_of(DATA[:PART]))
    saver.discard(UPLOAD)
    assert requests == {"PutObject": 1}
    assert len(storage.keys()) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_upload_is_sent_once_in_parts(saver: S3Saver, storage: Storage, announced: bool) -> None:
    requests = Requests(saver)
    with closing(saver.draft(UPLOAD)) as draft:
        draft.expect(len(DATA) if announced else None)
        fill(draft)
        draft.flush()
        draft.publish(DIGEST)
    saver.discard(UPLOAD)
    # Of unknown size, its end is stored as a tail first, and read back: more might have followed.
    tail = {} if announced else {"PutObject": 1, "GetObject": 1, "DeleteObject": 1}
    assert requests == {"CreateMultipartUpload": 1, "UploadPart": 3, "CompleteMultipartUpload": 1, **tail}
    assert requests.sent - len(DATA) < 2000
    assert get(saver) == DATA
    assert len(storage.keys()) == 1
    assert storage.unfinished() == []


def test_no_request_to_the_object_store_takes_place_in_a_transaction(saver: S3Saver, storage: Storage) -> None:
    def look(**_: object) -> None:
        assert not storage.database.in_transaction

    saver.bucket.s3.meta.events.register("before-send.s3", look)
    saver.bucket.patient.meta.events.register("before-send.s3", look)
    saver.put(DATA, DIGEST, OTHER)
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.flush()
        draft.publish(DIGEST)
    saver.discard(UPLOAD)
    with storage.database.write():
        saver.delete(DIGEST)  # leaves the object to a collection: this transaction may be rolled back
    assert len(storage.keys()) == 2


# --- any daemon -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_part_of_an_upload_may_come_by_another_daemon(storage: Storage) -> None:
    for start in range(0, len(DATA), 2_000_000):
        with closing(storage.saver().draft(UPLOAD)) as draft:
            assert draft.offset == start
            draft.append(DATA[start : start + 2_000_000])
            draft.flush()
    last = storage.saver()
    with closing(last.draft(UPLOAD)) as draft:
        draft.seal()
        assert read_back(draft) == DATA
        draft.publish(DIGEST)
    last.discard(UPLOAD)
    assert get(last) == DATA
    assert len(storage.keys()) == 1


@pytest.mark.slow
def test_bytes_that_were_not_flushed_are_sent_again(storage: Storage) -> None:
    left_open = storage.saver().draft(UPLOAD)
    fill(left_open)
    left_open.wait_ready()
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        assert draft.offset in (PART, 2 * PART)
        fill(draft)
        draft.publish(DIGEST)
    assert get(saver) == DATA
    with pytest.raises((DraftTaken, errors.StorageFailed)):
        left_open.flush()
    left_open.close()


def test_a_part_that_an_earlier_writer_overwrites_is_not_in_the_object(storage: Storage) -> None:
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.flush()
        record = storage.records.draft(UPLOAD)
        assert record is not None
        assert record.multipart is not None
        late = saver.bucket.upload_part(object_name(record.key), record.multipart, 2, b"late" * (PART // 4))
        assert late.etag != record.parts[1].etag
        with suppress(BytesLost):  # this server has both parts; AWS answers InvalidPart, as below
            draft.publish(DIGEST)
            assert get(saver) == DATA


@pytest.mark.slow
def test_parts_from_the_first_that_was_overwritten_are_sent_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.flush()
        record = storage.records.draft(UPLOAD)
        assert record is not None
        listed = [Sent(part.number, part.size, part.etag) for part in record.parts]
        listed[1] = Sent(2, PART, '"that of other bytes"')
        with monkeypatch.context() as patch:
            patch.setattr(saver.bucket, "complete", raises(UploadGone("InvalidPart")))
            patch.setattr(saver.bucket, "parts", lambda *_: iter(listed))
            with pytest.raises(BytesLost):
                draft.seal()
    with closing(storage.saver().draft(UPLOAD)) as draft:
        assert draft.offset == PART, "the first part is as it was sent"
        fill(draft)
        draft.publish(DIGEST)
    saver.discard(UPLOAD)
    assert get(saver) == DATA
    assert len(storage.keys()) == 1


@pytest.mark.slow
def test_an_upload_whose_parts_are_gone_begins_again(storage: Storage) -> None:
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.flush()
        record = storage.records.draft(UPLOAD)
        assert record is not None
        assert record.multipart is not None
        saver.bucket.abort(object_name(record.key), record.multipart)
        with pytest.raises(BytesLost):
            draft.publish(DIGEST)
    with closing(saver.draft(UPLOAD)) as draft:
        assert draft.offset == 0
        fill(draft)
        draft.publish(DIGEST)
    assert get(saver) == DATA


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_an_upload_whose_tail_is_lost_goes_on_behind_its_parts(storage: Storage, damage: str) -> None:
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft, DATA[: PART + 1000])
        draft.flush()
    record = storage.records.draft(UPLOAD)
    assert record is not None
    assert record.tail_key is not None
    storage.delete(record.tail_key)
    if damage == "truncated":
        storage.write(record.tail_key, b"?")
    with closing(saver.draft(UPLOAD)) as draft, pytest.raises(errors.StorageFailed, match="it can be resumed"):
        fill(draft)
    with closing(saver.draft(UPLOAD)) as draft:
        assert draft.offset == PART
        fill(draft)
        draft.publish(DIGEST)
    assert get(saver) == DATA


@pytest.mark.slow
def test_an_object_that_an_earlier_writer_completed_too_early_is_replaced(storage: Storage) -> None:
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.flush()
        record = storage.records.draft(UPLOAD)
        assert record is not None
        storage.write(record.key, DATA[:-1] + b"?")
        draft.publish(DIGEST)
    assert get(saver) == DATA


@pytest.mark.slow
def test_a_seal_whose_response_was_lost_is_repeated(storage: Storage) -> None:
    saver = storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        draft.expect(len(DATA))
        fill(draft)
        draft.flush()
        record = storage.records.draft(UPLOAD)
        assert record is not None
        assert record.multipart is not None
        saver.bucket.complete(object_name(record.key), record.multipart, record.parts)
    requests = Requests(saver)
    with closing(saver.draft(UPLOAD)) as draft:
        draft.publish(DIGEST)
    assert (requests["UploadPart"], get(saver)) == (0, DATA)


def test_a_multipart_upload_of_a_writer_that_was_overtaken_is_aborted(storage: Storage) -> None:
    saver, other = storage.saver(), storage.saver()
    draft = saver.draft(UPLOAD)
    before(saver, "CreateMultipartUpload", lambda: other.draft(UPLOAD).close())
    with suppress(DraftTaken):
        fill(draft)
    with pytest.raises(DraftTaken):
        draft.flush()
    draft.close()
    assert storage.unfinished() == []


def test_a_draft_discarded_in_the_middle_of_a_request_leaves_nothing(storage: Storage) -> None:
    saver, other = storage.saver(), storage.saver()
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.wait_ready()
        before(saver, "PutObject", lambda: other.discard(UPLOAD))
        with pytest.raises((DraftTaken, errors.StorageFailed)):
            draft.flush()
    assert (storage.keys(), storage.unfinished(), list(saver.drafts())) == (set(), [], [])
    assert storage.records.between("", "g", 9) == []


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_uploads_wait_for_memory_and_all_of_them_finish(storage: Storage) -> None:
    memory = Budget(2 * PART)
    saver = storage.saver(memory=memory)
    uploads = [f"{number:032x}" for number in range(4)]
    drafts = [saver.draft(upload) for upload in uploads]
    failures: list[BaseException] = []

    def send(draft: Draft) -> None:
        try:
            fill(draft)
            draft.publish(DIGEST)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            failures.append(error)

    threads = [threading.Thread(target=send, args=(draft,)) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert PART < memory.peak <= memory.limit
    for draft in drafts:
        draft.close()
    assert memory.used == 0
    assert get(saver) == DATA


@pytest.mark.slow
def test_an_upload_alone_has_memory_for_a_part_that_is_larger_than_the_limit(storage: Storage) -> None:
    memory = Budget(MIB)
    saver = storage.saver(memory=memory)
    with closing(saver.draft(UPLOAD)) as draft:
        fill(draft)
        draft.publish(DIGEST)
    assert (memory.used, get(saver)) == (0, DATA)


def test_a_draft_that_waits_for_memory_gives_up_its_own(storage: Storage) -> None:
    memory = Budget(2 * MIB)
    saver = storage.saver(memory=memory)
    first, second = saver.draft(UPLOAD), saver.draft(OTHER)
    first.append(DATA[:1000])
    second.append(DATA[:1000])
    calls: list[str] = []
    second.when_ready(lambda: calls.append("second"))
    while not calls and storage.records.draft(OTHER).size == 0:  # type: ignore[union-attr]
        threading.Event().wait(0.01)
    assert storage.records.draft(OTHER).size == 1000  # type: ignore[union-attr]
    first.close()
    second.wait_ready()
    second.append(DATA[1000:2000])
    second.publish(digest_of(DATA[:2000]))
    second.close()
    assert memory.used == 0
    with saver.open(digest_of(DATA[:2000])) as file:
        assert file.read() == DATA[:2000]


def test_a_draft_takes_no_memory_between_two_requests(storage: Storage) -> None:
    memory = Budget()
    with closing(storage.saver(memory=memory).draft(UPLOAD)) as draft:
        fill(draft, DATA[: PART + 5])
        assert memory.used > 0
        draft.flush()
        assert memory.used == 0


@pytest.mark.slow
def test_more_bytes_than_announced_are_refused_once_the_last_part_is_stored(saver: S3Saver) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.expect(len(DATA))
        fill(draft)
        draft.flush()
        with pytest.raises(errors.StorageFailed, match="no more bytes"):
            draft.append(b"more")
        draft.publish(DIGEST)
    assert get(saver) == DATA
