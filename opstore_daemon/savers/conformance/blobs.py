"""Conformance tests of blobs."""
# ruff: noqa: S101 - these are tests

from contextlib import closing
from uuid import uuid4

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, UPLOAD, SaverHooks, put


class BlobConformance(SaverHooks):
    """What a saver answers about blobs."""

    def test_a_missing_blob_is_not_found(self, saver: BaseSaver) -> None:
        put(saver, b"another")
        for use in (saver.open, saver.size, saver.published_at):
            with pytest.raises(errors.BlobNotFound, match=DIGEST):
                use(DIGEST)

    def test_an_open_blob_is_seekable_and_starts_at_0(self, saver: BaseSaver) -> None:
        put(saver)
        with saver.open(DIGEST) as file:
            assert (file.seekable(), file.readable(), file.tell()) == (True, True, 0)
            assert file.read(5) == DATA[:5]
            assert file.seek(-3, 2) == len(DATA) - 3
            assert file.read() == DATA[-3:]
            file.seek(0)
            assert file.read() == DATA

    def test_each_open_blob_has_its_own_position(self, saver: BaseSaver) -> None:
        put(saver)
        with saver.open(DIGEST) as one, saver.open(DIGEST) as other:
            assert one.read(5) == DATA[:5]
            assert other.read(3) == DATA[:3]
            assert one.read() == DATA[5:]

    def test_an_open_blob_stays_readable_after_its_deletion(self, saver: BaseSaver) -> None:
        put(saver)
        with saver.open(DIGEST) as file:
            start = file.read(5)
            saver.delete(DIGEST)
            assert start + file.read() == DATA

    def test_a_deleted_blob_is_gone(self, saver: BaseSaver) -> None:
        put(saver)
        other = put(saver, b"another")
        saver.delete(DIGEST)
        assert (DIGEST in saver, list(saver)) == (False, [other])
        assert self.raw_read(saver, DIGEST) is None
        with pytest.raises(errors.BlobNotFound):
            saver.open(DIGEST)

    def test_deleting_a_missing_blob_does_nothing(self, saver: BaseSaver) -> None:
        saver.delete(DIGEST)
        put(saver)
        saver.delete(DIGEST)
        saver.delete(DIGEST)

    def test_iteration_yields_each_blob_once_and_no_draft(self, saver: BaseSaver) -> None:
        assert list(saver) == []
        digests = sorted(put(saver, b"%d" % number) for number in range(20))
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            assert sorted(saver) == digests
        assert sorted(self.reopen(saver)) == digests

    def test_blobs_may_be_deleted_while_they_are_listed(self, saver: BaseSaver) -> None:
        digests = {put(saver, b"%d" % number) for number in range(20)}
        for digest in saver:
            digests.remove(digest)
            saver.delete(digest)
        assert digests == set()
        assert list(saver) == []

    def test_drafts_may_be_discarded_while_they_are_listed(self, saver: BaseSaver) -> None:
        for _ in range(5):
            saver.draft(uuid4().hex).close()
        for upload in saver.drafts():
            saver.discard(upload)
        assert list(saver.drafts()) == []

    def test_containment_accepts_any_object(self, saver: BaseSaver) -> None:
        put(saver)
        assert DIGEST in saver
        for other in (digest_of(b"another"), None, 7, b"sha256:", [DIGEST]):
            assert other not in saver

    def test_the_size_is_in_bytes(self, saver: BaseSaver) -> None:
        assert saver.size(put(saver)) == len(DATA)
        assert saver.size(put(saver, "ü".encode())) == 2

    def test_blobs_are_found_together_with_their_sizes_and_opened(self, saver: BaseSaver) -> None:
        one, other = put(saver), put(saver, b"other bytes")
        found = saver.find([other, digest_of(b"another"), one])
        assert {digest: blob.size for digest, blob in found.items()} == {one: len(DATA), other: len(b"other bytes")}
        with closing(found[other].open()) as file:
            assert file.read() == b"other bytes"
        assert saver.find([]) == {}

    def test_the_free_space_is_a_number_of_bytes_or_unknown(self, saver: BaseSaver) -> None:
        free = saver.free()
        assert free is None or (isinstance(free, int) and free >= 0)
