"""Conformance tests of bytes coming in."""
# ruff: noqa: S101 - these are tests

import socket
import threading
from contextlib import closing

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import receiving
from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.common import (
    DATA,
    DIGEST,
    OTHER,
    UPLOAD,
    SaverHooks,
    all_at_once,
    get,
    read_back,
    receive,
)
from opstore_daemon.savers.object_records import DraftTaken

WIDE = memoryview(b"gggg").cast("H")
"""A view whose length is not in bytes."""


class DraftConformance(SaverHooks):
    """How a draft stores bytes."""

    def test_a_new_draft_is_empty(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            assert draft.offset == 0
            assert read_back(draft) == b""

    def test_each_append_moves_the_offset_by_its_length(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            pieces: list[tuple[bytes | bytearray | memoryview, int]]
            pieces = [(b"abc", 3), (b"", 3), (bytearray(b"de"), 5), (memoryview(b"xfx")[1:2], 6), (WIDE, 10)]
            for data, offset in pieces:
                draft.append(data)
                assert draft.offset == offset
            assert read_back(draft) == b"abcdefgggg"

    def test_the_caller_may_reuse_the_buffer_after_an_append(self, saver: BaseSaver) -> None:
        buffer = bytearray(8)
        with closing(saver.draft(UPLOAD)) as draft:
            for number in range(100):
                buffer[:] = b"%08d" % number
                draft.append(memoryview(buffer) if number % 2 else buffer)
            buffer[:] = b"overlaid"
            expected = b"".join(b"%08d" % number for number in range(100))
            assert read_back(draft) == expected
            draft.publish(digest_of(expected))
            assert get(saver, digest_of(expected)) == expected

    def test_a_closed_draft_is_reopened_at_its_offset(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA[:7])
            draft.flush()
        assert draft.offset == 7
        with closing(saver.draft(UPLOAD)) as draft:
            assert draft.offset == 7
            draft.append(DATA[7:])
            assert read_back(draft) == DATA

    def test_a_draft_is_reopened_after_a_restart(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as left_open:
            left_open.append(DATA[:7])
            left_open.flush()
            reopened = self.reopen(saver)
            assert list(reopened.drafts()) == [UPLOAD]
            with closing(reopened.draft(UPLOAD)) as draft:
                assert draft.offset == 7
                draft.append(DATA[7:])
                draft.publish(DIGEST)
            assert get(reopened) == DATA

    def test_staged_size_counts_stored_bytes_and_creates_no_draft(self, saver: BaseSaver) -> None:
        assert saver.staged_size(UPLOAD) == 0
        assert list(saver.drafts()) == []
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA[:7])
            draft.flush()
            assert saver.staged_size(UPLOAD) == 7
            draft.append(DATA[7:])
            draft.flush()
        assert saver.staged_size(UPLOAD) == len(DATA)
        assert self.reopen(saver).staged_size(UPLOAD) == len(DATA)
        saver.discard(UPLOAD)
        assert saver.staged_size(UPLOAD) == 0
        with pytest.raises(ValueError, match="is not an upload"):
            saver.staged_size("../x")

    def test_reading_fills_a_buffer_from_any_offset_and_moves_nothing(self, saver: BaseSaver) -> None:
        data = bytes(range(256)) * (3 * READ_SIZE // 256)
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(data)
            if draft.needs_seal:
                draft.seal()
            for offset in (0, 5, READ_SIZE + 1, 0, len(data) - 3):
                buffer = memoryview(bytearray(5))
                count = draft.read_at(offset, buffer)
                assert 0 < count <= min(5, len(data) - offset)
                assert buffer[:count] == data[offset : offset + count]
            if not draft.needs_seal:
                draft.append(b"and more")
                data += b"and more"
            assert read_back(draft) == data

    def test_bytes_are_read_while_others_are_appended(self, saver: BaseSaver) -> None:
        piece, read, written = bytes(range(256)) * 256, bytearray(), threading.Event()

        def write() -> None:
            try:
                for _ in range(100):
                    draft.append(piece)
                    receive(draft, piece)
            finally:
                written.set()

        def follow() -> None:
            buffer = memoryview(bytearray(len(piece)))
            while len(read) < draft.offset or not written.is_set():
                room = buffer[: draft.offset - len(read)]
                if room:
                    count = draft.read_at(len(read), room)
                    assert count
                    read.extend(room[:count])
                else:
                    written.wait(0.001)

        with closing(saver.draft(UPLOAD)) as draft:
            if draft.needs_seal:
                return
            assert all_at_once([write, follow]) == []
            assert bytes(read) == read_back(draft) == piece * 200

    def test_received_bytes_are_stored_like_appended_ones(self, saver: BaseSaver) -> None:
        data = bytes(range(256)) * (5 * READ_SIZE // 256) + b"rest"
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(b"begin ")
            taken = receive(draft, data)
            assert sum(taken) == len(data)
            assert max(taken) <= 2 * READ_SIZE
            assert draft.offset == 6 + len(data)
            draft.append(b" end")
            whole = b"begin " + data + b" end"
            if not draft.needs_seal:
                assert read_back(draft) == whole
            draft.publish(digest_of(whole))
        assert get(saver, digest_of(whole)) == whole

    def test_no_more_is_received_than_was_asked_for(self, saver: BaseSaver) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, closing(saver.draft(UPLOAD)) as draft:
            theirs.sendall(b"the body, and what follows")
            taken = 0
            while taken < 8:
                taken += receiving.receive(draft, ours.fileno(), 8 - taken)
            assert read_back(draft) == b"the body"
            assert ours.recv(100) == b", and what follows"

    def test_receiving_returns_0_at_the_end_and_raises_if_it_would_block(self, saver: BaseSaver) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, closing(saver.draft(UPLOAD)) as draft:
            ours.setblocking(False)
            with pytest.raises(BlockingIOError):
                receiving.receive(draft, ours.fileno(), 10)
            theirs.sendall(b"last")
            theirs.close()
            assert receiving.receive(draft, ours.fileno(), 10) == 4
            assert receiving.receive(draft, ours.fileno(), 10) == 0
            assert read_back(draft) == b"last"

    def test_drafts_of_two_uploads_do_not_mix(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as one, closing(saver.draft(OTHER)) as other:
            one.append(b"1")
            other.append(b"2")
            one.append(b"1")
            assert read_back(one) == b"11"
            assert read_back(other) == b"2"
            assert sorted(saver.drafts()) == [UPLOAD, OTHER]

    def test_a_closed_draft_takes_nothing(self, saver: BaseSaver) -> None:
        draft = saver.draft(UPLOAD)
        draft.close()
        draft.close()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"x")
            uses = (
                lambda: draft.append(b"x"),
                lambda: receiving.receive(draft, ours.fileno(), 1),
                lambda: draft.publish(digest_of(b"")),
                lambda: draft.read_at(0, memoryview(bytearray(1))),
            )
            for use in uses:
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
            with closing(saver.draft(UPLOAD)), pytest.raises((errors.StorageFailed, DraftTaken)):
                draft.publish(DIGEST)
        assert DIGEST not in saver

    def test_discarding_an_unknown_upload_does_nothing(self, saver: BaseSaver) -> None:
        saver.discard(UPLOAD)
        saver.discard(UPLOAD)

    def test_flushed_bytes_need_no_close(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as left_open:
            left_open.flush()
            assert left_open.offset == 0
            for end in (7, 9):
                left_open.append(DATA[left_open.offset : end])
                left_open.flush()
                left_open.flush()
            reopened = self.reopen(saver)
            assert reopened.staged_size(UPLOAD) == 9
            with closing(reopened.draft(UPLOAD)) as draft:
                assert draft.offset == 9
                assert read_back(draft) == DATA[:9]

    def test_a_sealed_draft_is_read_and_takes_no_bytes(self, saver: BaseSaver) -> None:
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            draft.seal()
            draft.seal()
            with pytest.raises(errors.StorageFailed):
                draft.append(b"more")
            assert (draft.offset, read_back(draft)) == (len(DATA), DATA)
            draft.publish(DIGEST)
        assert get(saver) == DATA

    def test_an_announced_size_is_only_a_hint(self, saver: BaseSaver) -> None:
        for size in (None, 0, len(DATA), 10**12):
            with closing(saver.draft(UPLOAD)) as draft:
                draft.expect(size)
                draft.append(DATA)
                draft.publish(DIGEST)
            saver.discard(UPLOAD)
            assert get(saver) == DATA

    def test_a_draft_calls_once_when_it_is_ready(self, saver: BaseSaver) -> None:
        piece, calls = b"x" * READ_SIZE, []
        with closing(saver.draft(UPLOAD)) as draft:
            for number in range(20):
                draft.when_ready(lambda number=number: calls.append(number))  # type: ignore[misc]
                draft.wait_ready()
                assert draft.is_ready()
                draft.append(piece)
            draft.publish(digest_of(piece * 20))
        assert calls == list(range(20))

    def test_an_invalid_upload_id_is_refused(self, saver: BaseSaver) -> None:
        for upload in ("", "../x", UPLOAD[1:], UPLOAD + "0", UPLOAD.upper(), UPLOAD + "\n", "/" + UPLOAD[1:], "٣" * 32):
            with pytest.raises(ValueError, match="not an upload"):
                saver.draft(upload)
            with pytest.raises(ValueError, match="not an upload"):
                saver.discard(upload)
