"""Conformance tests of what a collector uses: the trash, and the lock that keeps collectors away."""
# ruff: noqa: S101 - these are tests

import threading
from contextlib import closing
from typing import cast

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, UPLOAD, SaverHooks, get, put


class CollectionConformance(SaverHooks):
    """How a blob is collected."""

    def test_a_blob_in_the_trash_is_no_blob(self, saver: BaseSaver) -> None:
        put(saver)
        other = put(saver, b"another")
        saver.trash(DIGEST)
        assert (DIGEST in saver, list(saver), get(saver, other)) == (False, [other], b"another")
        assert self.raw_read(saver, DIGEST) is None
        for use in (saver.open, saver.size, saver.published_at):
            with pytest.raises(errors.BlobNotFound):
                use(DIGEST)

    def test_the_trash_lists_what_is_in_it(self, saver: BaseSaver) -> None:
        assert list(saver.trashed()) == []
        digests = sorted(put(saver, b"%d" % number) for number in range(20))
        newest = saver.published_at(digests[-1])
        for digest in digests:
            saver.trash(digest)
        listed = sorted(self.reopen(saver).trashed())
        assert [(each.digest, each.size) for each in listed] == [(digest, 1 + (digest in TENS)) for digest in digests]
        assert all(each.trashed_at >= int(newest) for each in listed)

    def test_purging_deletes_what_is_in_the_trash_and_no_blob(self, saver: BaseSaver) -> None:
        put(saver)
        saver.trash(DIGEST)
        put(saver)
        other = put(saver, b"another")
        saver.purge(DIGEST)
        saver.purge(other)
        assert (list(saver.trashed()), get(saver), get(saver, other)) == ([], DATA, b"another")

    def test_what_is_in_the_trash_may_be_purged_while_it_is_listed(self, saver: BaseSaver) -> None:
        for number in range(20):
            saver.trash(put(saver, b"%d" % number))
        for each in saver.trashed():
            saver.purge(each.digest)
        assert list(saver.trashed()) == []

    def test_trashing_or_purging_what_is_missing_does_nothing(self, saver: BaseSaver) -> None:
        for _ in range(2):
            saver.trash(DIGEST)
            saver.purge(DIGEST)
        assert (list(saver), list(saver.trashed())) == ([], [])

    def test_a_blob_is_trashed_again_after_it_was_published_again(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            for _ in range(2):
                draft.publish(DIGEST)
                assert get(saver) == DATA
                saver.trash(DIGEST)
                assert DIGEST not in saver
                assert [each.digest for each in saver.trashed()] == [DIGEST]

    def test_a_draft_whose_blob_was_trashed_can_be_reopened_and_published_again(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            for _ in range(2):
                draft.publish(DIGEST)
                saver.trash(DIGEST)
            draft.publish(DIGEST)
        reopened = self.reopen(saver)
        with closing(reopened.draft(UPLOAD)) as draft:
            assert draft.offset == len(DATA)
            draft.publish(DIGEST)
        assert get(reopened) == DATA

    def test_an_open_blob_stays_readable_after_it_was_trashed_and_purged(self, saver: BaseSaver) -> None:
        put(saver)
        with saver.open(DIGEST) as file:
            start = file.read(5)
            saver.trash(DIGEST)
            saver.purge(DIGEST)
            assert start + file.read() == DATA

    def test_an_invalid_digest_is_neither_trashed_nor_purged(self, saver: BaseSaver) -> None:
        for text in ("", "../../x", DIGEST[:-1], DIGEST.upper(), f"{DIGEST}\n"):
            for use in (saver.trash, saver.purge):
                with pytest.raises(errors.InvalidDigest):
                    use(cast(Digest, text))

    def test_readers_keep_collectors_away(self, saver: BaseSaver) -> None:
        lock, other = saver.collection_lock, self.reopen(saver).collection_lock
        with lock.shared(), other.shared(), pytest.raises(errors.CollectionHeld), lock.exclusive():
            pass
        with lock.shared(), pytest.raises(errors.CollectionHeld), other.exclusive():
            pass
        with lock.exclusive():
            pass
        self.identity_files = self.leftovers(saver)

    def test_one_collector_keeps_another_away_and_readers_wait_for_it(self, saver: BaseSaver) -> None:
        lock, other = saver.collection_lock, self.reopen(saver).collection_lock
        has_ended = threading.Event()
        seen: list[bool | errors.OpStoreError] = []

        def read() -> None:
            try:
                with other.shared():
                    seen.append(has_ended.is_set())
            except errors.OpStoreError as error:
                seen.append(error)

        reader = threading.Thread(target=read)
        with lock.exclusive():
            with pytest.raises(errors.CollectionHeld), other.exclusive():
                pass
            reader.start()
            reader.join(0.05)
            has_ended.set()
        reader.join()
        assert seen == [True]
        self.identity_files = self.leftovers(saver)


TENS = {digest_of(b"%d" % number) for number in range(10, 20)}
