"""Conformance tests of drafts that become blobs."""
# ruff: noqa: S101 - these are tests

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import cast
from uuid import uuid4

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers.base import BaseSaver, Draft
from opstore_daemon.savers.conformance.common import (
    DATA,
    DIGEST,
    OTHER,
    UPLOAD,
    SaverHooks,
    all_at_once,
    get,
    put,
    read_back,
    receive,
)


class PublishConformance(SaverHooks):
    """How a draft becomes a blob."""

    def test_bytes_come_back(self, saver: BaseSaver) -> None:
        put(saver)
        assert get(saver) == DATA
        assert self.raw_read(saver, DIGEST) == DATA
        assert get(self.reopen(saver)) == DATA

    def test_an_empty_blob_is_a_blob(self, saver: BaseSaver) -> None:
        digest = put(saver, b"")
        assert (digest in saver, saver.size(digest), get(saver, digest)) == (True, 0, b"")
        assert self.raw_read(saver, digest) == b""

    def test_nothing_is_visible_before_it_is_published(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            assert DIGEST not in saver
            assert list(saver) == []
            assert self.raw_read(saver, DIGEST) is None
            with pytest.raises(errors.BlobNotFound):
                saver.open(DIGEST)
            draft.publish(DIGEST)
            assert list(saver) == [DIGEST]

    def test_a_draft_can_be_published_twice(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            draft.publish(DIGEST)
            draft.publish(DIGEST)
        assert get(saver) == DATA

    def test_a_published_draft_stays_until_it_is_discarded(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            draft.publish(DIGEST)
        saver = self.reopen(saver)
        assert list(saver.drafts()) == [UPLOAD]
        with closing(saver.draft(UPLOAD)) as draft:
            assert draft.offset == len(DATA)
            assert read_back(draft) == DATA
            draft.publish(DIGEST)
        assert get(saver) == DATA

    def test_a_blob_that_a_collector_took_is_published_again(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            draft.publish(DIGEST)
            saver.delete(DIGEST)
            draft.publish(DIGEST)
        assert get(saver) == DATA

    def test_nothing_is_appended_after_a_publish(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            draft.publish(DIGEST)
            with pytest.raises(errors.StorageFailed):
                draft.append(b"more")
            with pytest.raises(errors.StorageFailed):
                receive(draft, b"more")
        with closing(self.reopen(saver).draft(UPLOAD)) as draft, pytest.raises(errors.StorageFailed):
            draft.append(b"more")
        assert get(saver) == DATA
        assert self.raw_read(saver, DIGEST) == DATA

    def test_discarding_the_draft_keeps_the_blob(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            draft.publish(DIGEST)
            saver.discard(UPLOAD)
        saver.discard(UPLOAD)
        assert get(saver) == DATA
        assert self.raw_read(saver, DIGEST) == DATA

    def test_two_drafts_may_publish_the_same_bytes(self, saver: BaseSaver) -> None:
        put(saver, upload=UPLOAD)
        put(saver, upload=OTHER)
        assert list(saver) == [DIGEST]
        assert get(saver) == DATA

    def test_threads_may_publish_the_same_bytes_at_once(self, saver: BaseSaver) -> None:
        uploads = [uuid4().hex for _ in range(8)]
        drafts = [saver.draft(upload) for upload in uploads]
        for draft in drafts:
            draft.append(DATA)

        def publish(draft: Draft) -> Callable[[], object]:
            return lambda: (draft.publish(DIGEST), DIGEST in saver or pytest.fail("not there after its publish"))

        assert all_at_once([publish(draft) for draft in drafts]) == []
        for upload, draft in zip(uploads, drafts, strict=True):
            draft.close()
            saver.discard(upload)
        assert list(saver) == [DIGEST]
        assert get(saver) == DATA

    def test_threads_may_store_different_bytes_at_once(self, saver: BaseSaver) -> None:
        contents = [DATA + bytes([number]) for number in range(8)]
        assert all_at_once([partial(put, saver, data, uuid4().hex) for data in contents]) == []
        assert sorted(saver) == sorted(map(digest_of, contents))
        assert [get(saver, digest_of(data)) for data in contents] == contents

    def test_a_batch_of_blobs_is_there_when_it_is_finished(self, saver: BaseSaver) -> None:
        put(saver, b"0 0")
        pieces = [b"%d %d" % (number, number) for number in range(8)]
        batch = saver.batch([digest_of(each) for each in pieces])
        assert all_at_once([partial(batch.put, each, digest_of(each)) for each in pieces]) == []
        batch.finish()
        batch.finish()
        assert sorted(saver) == sorted(map(digest_of, pieces))
        for each in pieces:
            assert get(saver, digest_of(each)) == each

    def test_publishing_the_right_bytes_repairs_a_damaged_blob(self, saver: BaseSaver) -> None:
        for damaged in (b"", DATA[:-1], DATA[:-1] + b"?", DATA + b"?"):
            put(saver)
            self.raw_write(saver, DIGEST, damaged)
            put(saver)
            assert self.raw_read(saver, DIGEST) == DATA
            assert get(saver) == DATA

    def test_publishing_a_blob_again_renews_its_age(self, saver: BaseSaver) -> None:
        put(saver)
        first = saver.published_at(DIGEST)
        put(saver)
        assert saver.published_at(DIGEST) >= first > 0

    def test_bytes_in_memory_become_a_blob_and_leave_no_draft(self, saver: BaseSaver) -> None:
        for data in (DATA, b"", DATA):
            saver.put(data, digest_of(data), uuid4().hex)
            assert get(saver, digest_of(data)) == self.raw_read(saver, digest_of(data)) == data
        self.raw_write(saver, DIGEST, b"damaged")
        saver.put(DATA, DIGEST, uuid4().hex)
        assert get(saver) == DATA
        assert list(saver.drafts()) == []
        with pytest.raises(errors.InvalidDigest):
            saver.put(DATA, cast(Digest, DIGEST.upper()), uuid4().hex)
        assert list(saver.drafts()) == []

    def test_an_invalid_digest_is_refused(self, saver: BaseSaver) -> None:
        for text in ("", "../../x", DIGEST[:-1], DIGEST.upper(), DIGEST.removeprefix("sha256:"), f"{DIGEST}\n"):
            digest = cast(Digest, text)  # text that nobody parsed
            assert digest not in saver
            with closing(saver.draft(UPLOAD)) as draft, pytest.raises(errors.InvalidDigest):
                draft.publish(digest)
            for use in (saver.open, saver.size, saver.published_at, saver.delete):
                with pytest.raises(errors.InvalidDigest):
                    use(digest)
