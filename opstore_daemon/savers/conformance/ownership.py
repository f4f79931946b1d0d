"""Conformance tests of whose storage it is: the lock, the store id, and whether there is any blob."""
# ruff: noqa: S101 - these are tests

from contextlib import closing

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.common import DATA, UPLOAD, SaverHooks, get, put

STORE, OTHER_STORE = "00112233445566778899aabbccddeeff", "f" * 32


class OwnershipConformance(SaverHooks):
    """What a saver promises about its user and its store, if it `carries_id`."""

    def _use(self, saver: BaseSaver) -> BaseSaver:
        """Acquire the saver, as a server does first."""
        saver.acquire()
        self.identity_files = self.leftovers(saver)
        return saver

    def _claim(self, saver: BaseSaver, store_id: str = STORE) -> None:
        saver.claim(store_id)
        self.identity_files = self.leftovers(saver)

    def test_storage_has_a_name_for_messages(self, saver: BaseSaver) -> None:
        assert isinstance(saver.place(), str)
        assert saver.place()

    def test_new_storage_carries_no_id(self, saver: BaseSaver) -> None:
        assert saver.store_id() is None
        self._use(saver)
        put(saver)
        assert saver.store_id() is None

    def test_claimed_storage_carries_the_id_of_its_store_after_a_restart(self, saver: BaseSaver) -> None:
        if not saver.carries_id:
            self._claim(saver)
            assert saver.store_id() is None
            return
        self._use(saver)
        for store_id in (STORE, OTHER_STORE):
            self._claim(saver, store_id)
            assert saver.store_id() == store_id
        saver.release()
        assert self.reopen(saver).store_id() == OTHER_STORE

    def test_a_claim_touches_no_blob_and_no_draft(self, saver: BaseSaver) -> None:
        self._use(saver)
        digest = put(saver)
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA[:7])
            draft.flush()
        before = self.leftovers(saver)
        saver.claim(STORE)
        self.identity_files += self.leftovers(saver) - before
        assert (get(saver), list(saver), saver.staged_size(UPLOAD)) == (DATA, [digest], 7)

    def test_claimed_storage_has_the_largest_position_that_was_recorded(self, saver: BaseSaver) -> None:
        self._use(saver)
        saver.record_position(3)
        assert saver.position() == 0  # nobody's
        self._claim(saver)
        for recorded, largest in ((0, 0), (3, 3), (12, 12), (7, 12), (10**18, 10**18)):
            saver.record_position(recorded)
            assert saver.position() == (largest if saver.carries_id else 0)
        self.identity_files = self.leftovers(saver)
        saver.release()
        again = self.reopen(saver)
        again.acquire()
        again.record_position(8)
        assert again.position() == (10**18 if saver.carries_id else 0)
        again.claim(STORE)
        assert again.position() == (10**18 if saver.carries_id else 0)
        again.claim(OTHER_STORE)
        assert again.position() == 0
        again.record_position(1)
        assert again.position() == (1 if saver.carries_id else 0)
        self.identity_files = self.leftovers(saver)
        again.release()

    def test_acquired_storage_is_in_use_until_it_is_released(self, saver: BaseSaver) -> None:
        self._use(saver)
        again = self.reopen(saver)
        if saver.is_shared:
            again.acquire("/home/of/another")
            again.release()
        elif saver.carries_id:
            with pytest.raises(errors.StoreInUse):
                again.acquire("/home/of/another")
            with pytest.raises(errors.StoreInUse):
                saver.acquire()
        saver.release()
        again.acquire()
        again.release()

    def test_storage_can_be_released_twice(self, saver: BaseSaver) -> None:
        saver.release()
        self._use(saver)
        saver.release()
        saver.release()
        saver.acquire()

    def test_acquired_storage_is_in_its_place(self, saver: BaseSaver) -> None:
        self._use(saver)
        put(saver)
        saver.check_place()

    def test_drafts_are_no_blobs(self, saver: BaseSaver) -> None:
        assert not saver.has_blobs()
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            assert not saver.has_blobs()
        digest = put(saver)
        assert saver.has_blobs()
        saver.delete(digest)
        assert not saver.has_blobs()
