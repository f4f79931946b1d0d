"""Conformance tests of what `fsck` uses."""
# ruff: noqa: S101 - these are tests

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, SaverHooks, get, put


class ExaminationConformance(SaverHooks):
    """How a saver is examined, and what is damaged moved out of the way."""

    def test_a_blob_is_examined(self, saver: BaseSaver) -> None:
        with pytest.raises(errors.BlobNotFound, match=DIGEST):
            saver.examine(DIGEST)
        put(saver)
        put(saver, b"another")
        stored = saver.examine(DIGEST)
        assert (stored.size, stored.problem) == (len(DATA), None)
        assert saver.examine(DIGEST) == stored

    def test_a_blob_that_was_published_again_has_another_state(self, saver: BaseSaver) -> None:
        put(saver)
        before = saver.examine(DIGEST).state
        put(saver)
        assert saver.examine(DIGEST).state != before

    def test_a_survey_of_all_parts_yields_each_blob_once(self, saver: BaseSaver) -> None:
        digests = sorted(put(saver, b"%d" % number) for number in range(20))
        parts = list(saver.parts())
        assert parts == sorted(set(parts))
        found = [entry for part in parts for entry in saver.survey(part)]
        assert sorted(entry for entry in found if isinstance(entry, Digest)) == digests
        assert len(found) == len(digests), "and nothing else is there"

    def test_a_blob_that_was_moved_away_is_none_until_it_is_published_again(self, saver: BaseSaver) -> None:
        put(saver)
        other = put(saver, b"another")
        if not saver.quarantine(DIGEST, saver.examine(DIGEST).state):
            assert get(saver) == DATA, "it can't move blobs away"
            return
        assert (DIGEST in saver, list(saver)) == (False, [other])
        assert saver.quarantine(DIGEST, "any") is False
        with pytest.raises(errors.BlobNotFound):
            saver.open(DIGEST)
        put(saver)
        assert get(saver) == DATA
        assert get(saver, other) == b"another"

    def test_a_blob_that_was_published_again_is_not_moved_away(self, saver: BaseSaver) -> None:
        put(saver)
        state = saver.examine(DIGEST).state
        put(saver)
        assert saver.quarantine(DIGEST, state) is False
        assert get(saver) == DATA
