"""The sizes of the parts of a multipart upload.

An object has at most 10,000 parts and 5 TiB, and each part but the last has at least 5 MiB. A part is buffered whole,
so that it can be sent again: small parts take little memory, large ones are needed for large objects.
"""

MIB = 1024 * 1024
MAX_PARTS = 10_000
MAX_SIZE = 5 * 1024 * 1024 * MIB
MIN_PART = 5 * MIB
PART = 8 * MIB
STEP = 1000  # parts after which their size doubles if the size of the object is unknown
MAX_STEPPED = 1664 * MIB  # where 10,000 of them hold 5 TiB


def part_size(number: int, offset: int, expected: int | None) -> int:
    """Return the size in bytes of the part `number` (from 1), which begins at `offset`.

    `expected` is the size of the object; None if that is unknown.
    """
    if expected is None or expected < offset:
        return min(PART << ((number - 1) // STEP), MAX_STEPPED)
    left = max(1, MAX_PARTS - number + 1)
    needed = -(-(expected - offset) // left)
    return max(PART, -(-needed // MIB) * MIB)
