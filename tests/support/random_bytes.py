"""Bytes without a pattern, the same in every run: a test that damages or compares them passes always or never."""

import functools
import random


@functools.lru_cache(maxsize=4)  # of the same large file for several tests
def random_bytes(size: int, seed: int = 0) -> bytes:
    """Return `size` bytes that look random; another seed gives others."""
    return random.Random(seed).randbytes(size)
