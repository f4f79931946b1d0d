"""Samples are computed as docs/http.md describes."""

import re

import pytest
import xxhash

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.samples import Sample, sample_of
from tests.support.fake_daemon import sample_of_bytes
from tests.support.figures import few
from tests.support.random_bytes import random_bytes

KIB = 1024


def documented_sample(data: bytes) -> str:
    """Compute the sample as docs/http.md describes."""
    block = min(64 * KIB, len(data))
    starts = [(len(data) - block) * place // 15 for place in range(16)]
    parts = [len(data).to_bytes(8, "big"), *(data[start : start + block] for start in starts)]
    return "xxh128:" + xxhash.xxh3_128_hexdigest(b"".join(parts))


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB, 5_000_001])
def test_a_sample_hashes_the_size_and_sixteen_evenly_spaced_blocks(size: int) -> None:
    data = random_bytes(size)
    assert sample_of_bytes(data) == documented_sample(data)
    assert re.match(Sample.PATTERN, documented_sample(data))
    assert Sample.parse(documented_sample(data)) == documented_sample(data)


def test_bytes_that_differ_in_size_or_in_a_block_have_another_sample() -> None:
    data = bytes(5_000_001)
    samples = {sample_of_bytes(data), sample_of_bytes(data + b"\0")}
    for place in (0, 64 * KIB - 1, len(data) - 64 * KIB, len(data) - 1, (len(data) - 64 * KIB) // 15):
        changed = bytearray(data)
        changed[place] = 1
        samples.add(sample_of_bytes(bytes(changed)))
    assert len(samples) == 7


@pytest.mark.slow
@pytest.mark.parametrize("most", few(1, [1, 1000, 64 * KIB]))
def test_a_sample_reads_a_mebibyte_even_with_short_reads(most: int) -> None:
    data, read = random_bytes(3_000_000), []

    def few(buffer: memoryview, offset: int) -> int:
        piece = data[offset : offset + min(most, len(buffer))]
        buffer[: len(piece)] = piece
        read.append(len(piece))
        return len(piece)

    assert sample_of(len(data), few) == documented_sample(data)
    assert sum(read) == 1024 * KIB


def test_a_file_shorter_than_its_size_raises_eof_error() -> None:
    with pytest.raises(EOFError):
        sample_of(100_000, lambda _buffer, _offset: 0)


def test_an_invalid_sample_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="is not a sample"):
        Sample.parse("xxh128:1")
