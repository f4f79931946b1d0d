"""The part of the suite about bytes on their way in."""
# ruff: noqa: S101 - the asserts of a suite are what it is for

from contextlib import closing

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers.base import PIECE, BaseSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, OTHER, UPLOAD, SaverHooks, get

WIDE = memoryview(b"gggg").cast("H")
"""A view whose length is not in bytes."""


class DraftConformance(SaverHooks):
    """Bytes on their way in."""

    def test_a_new_draft_is_empty(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            assert draft.offset == 0
            assert list(draft.read_back()) == []

    def test_each_append_moves_the_offset_by_its_length(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            pieces: list[tuple[bytes | bytearray | memoryview, int]]
            pieces = [(b"abc", 3), (b"", 3), (bytearray(b"de"), 5), (memoryview(b"xfx")[1:2], 6), (WIDE, 10)]
            for data, offset in pieces:
                draft.append(data)
                assert draft.offset == offset
            assert b"".join(draft.read_back()) == b"abcdefgggg"

    def test_the_buffer_is_the_callers_again_after_an_append(self, saver: BaseSaver) -> None:
        buffer = bytearray(8)
        with closing(saver.draft(UPLOAD)) as draft:
            for number in range(100):
                buffer[:] = b"%08d" % number
                draft.append(memoryview(buffer) if number % 2 else buffer)
            buffer[:] = b"overlaid"
            expected = b"".join(b"%08d" % number for number in range(100))
            assert b"".join(draft.read_back()) == expected
            draft.publish(digest_of(expected))
            assert get(saver, digest_of(expected)) == expected

    def test_a_draft_is_taken_up_where_it_was_closed(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA[:7])
        assert draft.offset == 7
        with closing(saver.draft(UPLOAD)) as draft:
            assert draft.offset == 7
            draft.append(DATA[7:])
            assert b"".join(draft.read_back()) == DATA

    def test_a_draft_is_taken_up_after_a_restart(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as left_open:
            left_open.append(DATA[:7])
            reopened = self.reopen(saver)
            assert list(reopened.drafts()) == [UPLOAD]
            with closing(reopened.draft(UPLOAD)) as draft:
                assert draft.offset == 7
                draft.append(DATA[7:])
                draft.publish(DIGEST)
            assert get(reopened) == DATA

    def test_what_a_draft_has_kept_is_told_and_none_is_made_for_that(self, saver: BaseSaver) -> None:
        assert saver.kept(UPLOAD) == 0
        assert list(saver.drafts()) == []
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA[:7])
            assert saver.kept(UPLOAD) == 7
            draft.append(DATA[7:])
        assert saver.kept(UPLOAD) == len(DATA)
        assert self.reopen(saver).kept(UPLOAD) == len(DATA)
        saver.discard(UPLOAD)
        assert saver.kept(UPLOAD) == 0
        with pytest.raises(ValueError, match="is not an upload"):
            saver.kept("../x")

    def test_reading_back_yields_small_pieces_and_moves_nothing(self, saver: BaseSaver) -> None:
        data = DATA * (3 * PIECE // len(DATA))
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(data)
            for _ in range(2):
                pieces = list(draft.read_back())
                assert max(map(len, pieces)) <= PIECE
                assert b"".join(pieces) == data
            draft.append(b"and more")
            assert b"".join(draft.read_back()) == data + b"and more"

    def test_drafts_of_two_uploads_do_not_mix(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as one, closing(saver.draft(OTHER)) as other:
            one.append(b"1")
            other.append(b"2")
            one.append(b"1")
            assert b"".join(one.read_back()) == b"11"
            assert b"".join(other.read_back()) == b"2"
            assert sorted(saver.drafts()) == [UPLOAD, OTHER]

    def test_a_closed_draft_takes_nothing(self, saver: BaseSaver) -> None:
        draft = saver.draft(UPLOAD)
        draft.close()
        draft.close()
        for use in (lambda: draft.append(b"x"), lambda: draft.publish(digest_of(b"")), draft.read_back):
            with pytest.raises(ValueError, match="closed"):
                use()

    def test_a_discarded_draft_begins_at_0_again(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
        saver.discard(UPLOAD)
        assert list(saver.drafts()) == []
        with closing(saver.draft(UPLOAD)) as draft:
            assert draft.offset == 0

    def test_a_draft_that_was_discarded_while_open_publishes_nothing(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            saver.discard(UPLOAD)
            with closing(saver.draft(UPLOAD)), pytest.raises(errors.StorageFailed):
                draft.publish(DIGEST)
        assert DIGEST not in saver

    def test_discarding_an_unknown_upload_is_fine(self, saver: BaseSaver) -> None:
        saver.discard(UPLOAD)
        saver.discard(UPLOAD)

    def test_what_is_no_upload_is_refused(self, saver: BaseSaver) -> None:
        for upload in ("", "../x", UPLOAD[1:], UPLOAD + "0", UPLOAD.upper(), UPLOAD + "\n", "/" + UPLOAD[1:], "٣" * 32):
            with pytest.raises(ValueError, match="not an upload"):
                saver.draft(upload)
            with pytest.raises(ValueError, match="not an upload"):
                saver.discard(upload)
