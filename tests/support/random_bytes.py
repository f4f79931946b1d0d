"""Bytes without a pattern, the same in every run: a test that damages or compares them passes always or never."""

import random


def random_bytes(size: int, seed: int = 0) -> bytes:
    """Return `size` bytes that look random; another seed gives others."""
    return random.Random(seed).randbytes(size)
