"""The hash that a thread keeps up to date."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.hashing import SMALL, WAITING, Hasher, TrailingHash
from tests.support.examples import examples

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


LAG = TrailingHash.LAG


def reader(data: bytearray, most: int = LAG) -> Callable[[memoryview, int], int]:
    def read(buffer: memoryview, offset: int) -> int:
        piece = bytes(data[offset : offset + min(len(buffer), most)])
        buffer[: len(piece)] = piece
        return len(piece)

    return read


@examples(200)
@given(st.lists(st.sampled_from([0, 1, LAG - 1, LAG, LAG + 1, 3 * LAG]), max_size=8), st.booleans())
def test_the_hash_that_follows_is_the_digest_of_all_bytes_also_between_them(sizes: list[int], closed: bool) -> None:
    data = bytearray()
    trailing = TrailingHash(reader(data, 100_000))
    for number, size in enumerate(sizes):
        data += bytes([number]) * size
        trailing.reach(len(data))
        if closed:
            trailing.close()
        if number % 3 == 0:
            assert trailing.digest() == digest_of(data)
    assert trailing.digest() == digest_of(data)


def test_it_follows_by_a_thread_that_ends_by_itself_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrailingHash, "LINGER", 0.01)
    data = bytearray(b"x" * 4 * LAG)
    trailing = TrailingHash(reader(data))
    for _ in range(2):
        trailing.reach(len(data))
        thread = trailing._thread
        assert thread is not None
        thread.join(60)
        assert not thread.is_alive()
        assert len(data) - trailing._hashed < LAG
        data += b"y" * 4 * LAG
    trailing.reach(len(data))
    assert trailing._thread is not thread
    assert trailing.digest() == digest_of(data)


def test_less_than_the_lag_costs_no_thread() -> None:
    data = bytearray(b"x" * (LAG - 1))
    trailing = TrailingHash(reader(data))
    trailing.reach(len(data))
    assert trailing._thread is None
    assert trailing.digest() == digest_of(data)


def test_what_cannot_be_read_is_met_by_who_asks_for_the_digest_until_it_can() -> None:
    data, broken = bytearray(b"x" * 4 * LAG), [True]
    read = reader(data)

    def failing(buffer: memoryview, offset: int) -> int:
        if broken[0] and offset >= 2 * LAG:
            raise OSError("Input/output error")
        return read(buffer, offset)

    trailing = TrailingHash(failing)
    trailing.reach(len(data))
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            trailing.digest()
    broken[0] = False
    assert trailing.digest() == digest_of(data)


def test_it_can_be_closed_while_it_is_behind_and_twice_at_once() -> None:
    data = bytearray(b"x" * 16 * LAG)
    read = reader(data, 4096)

    def slow(buffer: memoryview, offset: int) -> int:
        time.sleep(0.001)
        return read(buffer, offset)

    trailing = TrailingHash(slow)
    trailing.reach(len(data))
    closers = [threading.Thread(target=trailing.close) for _ in range(4)]
    for each in closers:
        each.start()
    for each in closers:
        each.join()
    assert trailing._hashed < len(data)
    assert trailing._thread is not None
    assert not trailing._thread.is_alive()
