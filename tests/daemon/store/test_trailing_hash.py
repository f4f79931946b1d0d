"""The hash that reads the bytes of an upload back."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.ingest.trailing_hash import TrailingHash
from tests.support.examples import examples
from tests.support.waiting import wait_for

LAG = TrailingHash.LAG


def reader(data: bytearray, most: int = LAG) -> Callable[[memoryview, int], int]:
    def read(buffer: memoryview, offset: int) -> int:
        piece = bytes(data[offset : offset + min(len(buffer), most)])
        buffer[: len(piece)] = piece
        return len(piece)

    return read


@examples(200)
@given(st.lists(st.sampled_from([0, 1, LAG - 1, LAG, LAG + 1, 3 * LAG]), max_size=8), st.booleans())
def test_digest_is_that_of_all_bytes_so_far(sizes: list[int], closed: bool) -> None:
    data = bytearray()
    trailing = TrailingHash(reader(data, 100_000))
    for number, size in enumerate(sizes):
        data += bytes([number]) * size
        trailing.advance(len(data))
        if closed:
            trailing.close()
        if number % 3 == 0:
            assert trailing.digest() == digest_of(data)
    assert trailing.digest() == digest_of(data)


def test_the_thread_ends_when_idle_and_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrailingHash, "LINGER", 0.01)
    data = bytearray(b"x" * 4 * LAG)
    trailing = TrailingHash(reader(data))
    for _ in range(2):
        trailing.advance(len(data))
        thread = trailing._thread
        assert thread is not None
        thread.join(60)
        assert not thread.is_alive()
        assert len(data) - trailing._hashed < LAG
        data += b"y" * 4 * LAG
    trailing.advance(len(data))
    assert trailing._thread is not thread
    assert trailing.digest() == digest_of(data)


def test_less_than_the_lag_starts_no_thread() -> None:
    data = bytearray(b"x" * (LAG - 1))
    trailing = TrailingHash(reader(data))
    trailing.advance(len(data))
    assert trailing._thread is None
    assert trailing.digest() == digest_of(data)


def test_digest_raises_the_read_error_until_the_bytes_can_be_read() -> None:
    data, broken = bytearray(b"x" * 4 * LAG), [True]
    read = reader(data)

    def failing(buffer: memoryview, offset: int) -> int:
        if broken[0] and offset >= 2 * LAG:
            raise OSError("Input/output error")
        return read(buffer, offset)

    trailing = TrailingHash(failing)
    trailing.advance(len(data))
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            trailing.digest()
    broken[0] = False
    assert trailing.digest() == digest_of(data)


def test_close_may_be_called_by_several_threads_while_bytes_are_left() -> None:
    data = bytearray(b"x" * 16 * LAG)
    read = reader(data, 4096)

    def waiting(buffer: memoryview, offset: int) -> int:
        if offset >= LAG:
            wait_for(lambda: trailing._is_stopping, "the first close")
        return read(buffer, offset)

    trailing = TrailingHash(waiting)
    trailing.advance(len(data))
    closers = [threading.Thread(target=trailing.close) for _ in range(4)]
    for each in closers:
        each.start()
    for each in closers:
        each.join()
    assert trailing._hashed < len(data)
    assert trailing._thread is not None
    assert not trailing._thread.is_alive()


def test_close_waits_for_a_thread_that_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = []

    def close() -> None:
        try:
            trailing.close()
        except RuntimeError as error:
            failures.append(error)

    closer = threading.Thread(target=close)

    class ClosedMeanwhile(threading.Thread):
        def start(self) -> None:
            closer.start()
            closer.join(0.1)  # it has to wait for the lock, and would fail at once without it
            super().start()

    data = bytearray(b"x" * 4 * LAG)
    trailing = TrailingHash(reader(data))
    with monkeypatch.context() as patch:
        patch.setattr("opstore_daemon.store.ingest.trailing_hash.threading.Thread", ClosedMeanwhile)
        trailing.advance(len(data))
    closer.join()
    assert failures == []
    assert trailing.digest() == digest_of(data)
