"""Different bytes with the same XXH3-128, which anybody can construct.

XXH3 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) adds up stripes of 64 bytes, each with the secret
at another offset. Of a lane of 8 bytes it multiplies the lower half by the upper one, both after an XOR with the
secret: where the lower half is that of the secret, the product is 0 whatever the upper half is. The lane itself is
added to the neighbouring sum. So what the upper half in one stripe gains, that in the next stripe may lose.
"""

import struct

_SECRET = bytes.fromhex("b8fe6c3923a44bbe7c01812cf721ad1c")  # of the default secret, its first 16 bytes


def with_collision(data: bytes) -> tuple[bytes, bytes]:
    """Return two variants of the data (of 256 bytes or more) with one checksum; they differ in bytes 4 and 68."""
    first, second = bytearray(data), bytearray(data)
    for variant, change in ((first, 0), (second, 1)):
        for stripe, upper in ((0, 1000 + change), (1, 1000 - change)):
            lower = _SECRET[8 * stripe : 8 * stripe + 4]
            variant[64 * stripe : 64 * stripe + 8] = lower + struct.pack("<I", upper)
    return bytes(first), bytes(second)
