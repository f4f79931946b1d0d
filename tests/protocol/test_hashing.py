"""The hash that a thread keeps up to date."""

import threading
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.hashing import SMALL, WAITING, Hasher

SIZES = st.lists(st.sampled_from([0, 1, SMALL, SMALL + 1, 300_000]), max_size=12)


@given(SIZES, st.booleans())
def test_it_is_the_digest_of_all_pieces_also_between_them(sizes: list[int], closed: bool) -> None:
    so_far = b""
    with Hasher() as hasher:
        for number, size in enumerate(sizes):
            piece = bytes([number]) * size
            so_far += piece
            hasher.update(piece)
            if closed:
                hasher.close()
            if number % 3 == 0:
                assert hasher.digest() == digest_of(so_far)
        assert hasher.digest() == digest_of(so_far)


def test_a_buffer_may_change_when_so_many_more_pieces_were_given() -> None:
    buffers = [memoryview(bytearray(300_000)) for _ in range(WAITING + 1)]
    everything = b""
    with Hasher() as hasher:
        for number in range(60):
            buffer = buffers[number % len(buffers)]
            buffer[:] = bytes([number]) * len(buffer)
            everything += buffer
            hasher.update(buffer)
        assert hasher.digest() == digest_of(everything)


def test_its_thread_ends_with_it() -> None:
    before = threading.active_count()
    with Hasher() as hasher:
        hasher.update(b"x" * (SMALL + 1))
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


class Interrupting:
    """What a signal does between the return of `get` and the line after it."""

    def __init__(self, queue: "SimpleQueue[None]") -> None:
        self._queue = queue
        self.put = queue.put

    def get(self) -> None:
        self._queue.get()
        raise KeyboardInterrupt


def test_who_is_interrupted_while_it_waits_can_end_it() -> None:
    hasher = Hasher()
    hasher._done = Interrupting(hasher._done)  # type: ignore[assignment]
    for _ in range(WAITING):
        hasher.update(b"x" * (SMALL + 1))
    with pytest.raises(KeyboardInterrupt):
        hasher.update(b"x" * (SMALL + 1))
    hasher.close()
    assert all(thread.name != "opstore-hash" for thread in threading.enumerate())
