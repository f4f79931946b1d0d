"""Samples: `xxh128:` and 32 hex digits, equal for bytes that are likely to be the same.

The XXH3 checksum (128 bits) of the size, as eight bytes in big-endian order, and of sixteen blocks of 64 KiB at even
distances, the first and the last included. It is quick to compute, whatever the size. Other bytes may have the
same sample: it only shows whether computing a digest is worthwhile.
"""

from collections.abc import Callable

from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum

BLOCKS = 16
BLOCK = 64 * 1024  # bytes


class Sample(Checksum):
    """The sample of bytes."""

    __slots__ = ()


def sample_of(size: int, read: Callable[[memoryview, int], int]) -> Sample:
    """Return the sample of `size` bytes.

    `read` fills a buffer with the bytes from an offset on and returns how many it read. Raises EOFError if it returns 0
    before all are read.
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
