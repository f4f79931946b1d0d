"""The hash that a thread computes during a transfer."""

import threading
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_cli.transfer.hashing import INLINE, MAX_WAITING, Hasher
from opstore_daemon.protocol.digests import digest_of

SIZES = st.lists(st.sampled_from([0, 1, INLINE, INLINE + 1, 300_000]), max_size=12)


@given(SIZES, st.booleans())
def test_digest_is_that_of_all_pieces_so_far(sizes: list[int], closed: bool) -> None:
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


def test_a_buffer_can_be_reused_after_as_many_pieces_as_may_wait() -> None:
    buffers = [memoryview(bytearray(300_000)) for _ in range(MAX_WAITING + 1)]
    everything = b""
    with Hasher() as hasher:
        for number in range(60):
            buffer = buffers[number % len(buffers)]
            buffer[:] = bytes([number]) * len(buffer)
            everything += buffer
            hasher.update(buffer)
        assert hasher.digest() == digest_of(everything)


def of_hashers() -> list[threading.Thread]:
    """Return the threads that hash."""
    return [thread for thread in threading.enumerate() if thread.name == "opstore-hash"]


def test_the_thread_ends_at_close() -> None:
    with Hasher() as hasher:
        hasher.update(b"x" * (INLINE + 1))
        assert len(of_hashers()) == 1
    assert of_hashers() == []


class Interrupting:
    """A queue whose `get` is interrupted by a signal just before it returns."""

    def __init__(self, queue: "SimpleQueue[None]") -> None:
        self._queue = queue
        self.put = queue.put

    def get(self) -> None:
        self._queue.get()
        raise KeyboardInterrupt


def test_close_after_an_interrupted_wait_does_not_hang() -> None:
    hasher = Hasher()
    hasher._done = Interrupting(hasher._done)  # type: ignore[assignment]
    for _ in range(MAX_WAITING):
        hasher.update(b"x" * (INLINE + 1))
    with pytest.raises(KeyboardInterrupt):
        hasher.update(b"x" * (INLINE + 1))
    hasher.close()
    assert of_hashers() == []
