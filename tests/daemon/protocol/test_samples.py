"""Samples: what they are of, as docs/http.md tells others who take one."""

import os
import re

import pytest
import xxhash

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.samples import Sample, sample_of
from tests.support.fake_daemon import sample_of_bytes

KIB = 1024


def told(data: bytes) -> str:
    """As docs/http.md says."""
    block = min(64 * KIB, len(data))
    starts = [(len(data) - block) * place // 15 for place in range(16)]
    parts = [len(data).to_bytes(8, "big"), *(data[start : start + block] for start in starts)]
    return "xxh128:" + xxhash.xxh3_128_hexdigest(b"".join(parts))


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB, 5_000_001])
def test_a_sample_is_of_the_size_and_of_sixteen_blocks_from_the_first_to_the_last(size: int) -> None:
    data = os.urandom(size)
    assert sample_of_bytes(data) == told(data)
    assert re.match(Sample.PATTERN, told(data))
    assert Sample.parse(told(data)) == told(data)


def test_bytes_that_differ_in_size_or_in_a_block_have_another() -> None:
    data = bytes(5_000_001)
    samples = {sample_of_bytes(data), sample_of_bytes(data + b"\0")}
    for place in (0, 64 * KIB - 1, len(data) - 64 * KIB, len(data) - 1, (len(data) - 64 * KIB) // 15):
        changed = bytearray(data)
        changed[place] = 1
        samples.add(sample_of_bytes(bytes(changed)))
    assert len(samples) == 7


@pytest.mark.parametrize("most", [1, 1000, 64 * KIB])
def test_it_reads_a_mebibyte_however_little_it_gets_at_once(most: int) -> None:
    data, read = os.urandom(3_000_000), []

    def few(buffer: memoryview, offset: int) -> int:
        piece = data[offset : offset + min(most, len(buffer))]
        buffer[: len(piece)] = piece
        read.append(len(piece))
        return len(piece)

    assert sample_of(len(data), few) == told(data)
    assert sum(read) == 1024 * KIB


def test_bytes_that_end_before_their_size_have_none() -> None:
    with pytest.raises(EOFError):
        sample_of(100_000, lambda _buffer, _offset: 0)


def test_what_is_none_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="is not a sample"):
        Sample.parse("xxh128:1")
