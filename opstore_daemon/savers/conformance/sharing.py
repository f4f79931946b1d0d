"""Conformance tests of savers that several daemons can use: join SharedConformance beside SaverConformance."""
# ruff: noqa: S101 - these are tests

from contextlib import closing, suppress

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, UPLOAD, SaverHooks, get, read_back
from opstore_daemon.savers.object_records import DraftTaken

TAKEN = (DraftTaken, errors.StorageFailed)


class SharedConformance(SaverHooks):
    """How two savers at one place, with records of one database, share a draft. `reopen` returns the other one."""

    def test_the_newest_draft_of_an_upload_is_its_writer(self, saver: BaseSaver) -> None:
        other = self.reopen(saver)
        with closing(saver.draft(UPLOAD)) as earlier:
            earlier.append(DATA[:7])
            earlier.flush()
            assert earlier.is_current()
            with closing(other.draft(UPLOAD)) as draft:
                assert (draft.offset, draft.is_current(), earlier.is_current()) == (7, True, False)
                with suppress(*TAKEN):
                    earlier.append(b"of an earlier writer")
                with pytest.raises(TAKEN):
                    earlier.flush()
                draft.append(DATA[7:])
                draft.publish(DIGEST)
        assert get(saver) == get(other) == DATA

    def test_what_was_not_flushed_does_not_count(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as earlier:
            earlier.append(DATA[:7])
            earlier.flush()
            earlier.append(b"lost")
            with closing(self.reopen(saver).draft(UPLOAD)) as draft:
                assert draft.offset == 7
                draft.append(DATA[7:20])
                draft.flush()
            assert saver.staged_size(UPLOAD) == 20
            for use in (earlier.flush, earlier.seal, lambda: earlier.publish(digest_of(DATA[:7] + b"lost"))):
                with pytest.raises(TAKEN):
                    use()
        assert (saver.staged_size(UPLOAD), list(saver)) == (20, [])

    def test_a_draft_that_was_sealed_is_sealed_everywhere(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as first:
            first.append(DATA)
            first.seal()
        with closing(self.reopen(saver).draft(UPLOAD)) as draft:
            assert draft.offset == len(DATA)
            with pytest.raises(errors.StorageFailed):
                draft.append(b"more")
            draft.seal()
            assert read_back(draft) == DATA
            draft.publish(DIGEST)
        assert get(saver) == DATA

    def test_a_discarded_draft_of_another_saver_publishes_nothing(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            self.reopen(saver).discard(UPLOAD)
            assert not draft.is_current()
            with suppress(*TAKEN):
                draft.flush()
            with pytest.raises(TAKEN):
                draft.publish(DIGEST)
        assert (list(saver), list(saver.drafts())) == ([], [])
