"""Samples: `xxh128:` and 32 hex digits, by which bytes are known that are likely to be the same.

The sum (XXH3 of 128 bits) of the size, as eight bytes with the highest first, and of sixteen blocks of 64 KiB, from the
first to the last at even distances. It is known at once, however many bytes there are. Other bytes may have the same
sample: it says whether a digest is worth its time, and no more.
"""

import re
from collections.abc import Callable
from typing import NewType

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import PATTERN, PREFIX, checksum_of, new_sum

Sample = NewType("Sample", str)

BLOCKS = 16
BLOCK = 64 * 1024  # bytes


def sample_of(size: int, read: Callable[[memoryview, int], int]) -> Sample:
    """The sample of so many bytes. `read` fills a buffer with those from an offset on, as far as it has them at once.

    Raises EOFError where there are fewer.
    """
    seen = new_sum(size.to_bytes(8, "big"))
    buffer = memoryview(bytearray(min(BLOCK, size)))
    for place in range(BLOCKS):
        offset, filled = (size - len(buffer)) * place // (BLOCKS - 1), 0
        while filled < len(buffer):
            count = read(buffer[filled:], offset + filled)
            if not count:
                raise EOFError
            filled += count
        seen.update(buffer)
    return Sample(checksum_of(seen))


def parse_sample(text: str) -> Sample:
    """The text, if it is a sample; raises InvalidRequest."""
    if re.match(PATTERN, text) is None:
        raise errors.InvalidRequest(reason=f"{text[:60]!r} is no sample: {PREFIX} and 32 hex digits")
    return Sample(text)
