"""Subsets of digests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.subsets import MAX_PARTS, Subset


@given(st.integers(1, MAX_PARTS), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_each_digest_is_in_one_part(parts: int, digits: str) -> None:
    digest = f"sha256:{digits}"
    near = max(1, int(digits[:16], 16) * parts >> 64)
    holding = [
        part
        for part in range(near, min(parts, near + 2) + 1)
        if (bounds := Subset.parse(f"{part}/{parts}").bounds)[0] <= digest < bounds[1]
    ]
    assert len(holding) == 1


@pytest.mark.parametrize("parts", [1, 2, 7, 100, MAX_PARTS])
def test_the_parts_follow_each_other(parts: int) -> None:
    each = [Subset.parse(f"{part}/{parts}").bounds for part in range(1, parts + 1)]
    assert each[0][0] == f"sha256:{0:016x}"
    assert [end for _, end in each[:-1]] == [first for first, _ in each[1:]]
    assert each[-1][1] > f"sha256:{'f' * 64}"


@pytest.mark.parametrize(
    "text",
    ["", "1", "1/", "/7", "0/7", "8/7", "1/0", "01/7", "1/65537", "1/7 ", "1/7\n", "-1/7", "1/7/2", "٣/7", "50%"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="is not a subset"):
        Subset.parse(text)
