"""Ranges: the bounds of the numbers that `packaging` admits."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opstore_daemon.protocol.references import Range, parse_selector
from opstore_daemon.protocol.versions import HIGHEST, VersionNumber
from opstore_daemon.rules import ranges

PART = st.integers(0, 3)
OPERANDS = st.lists(PART, min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
CLAUSES = st.one_of(
    st.tuples(st.sampled_from(["==", "!=", "<=", ">=", "<", ">"]), OPERANDS).map("".join),
    st.tuples(st.sampled_from(["==", "!="]), OPERANDS).map(lambda clause: f"{''.join(clause)}.*"),
    st.lists(PART, min_size=2, max_size=3).map(lambda parts: "~=" + ".".join(map(str, parts))),
)
NUMBERS = st.builds(VersionNumber, st.integers(1, 3), PART, PART)


@given(st.lists(CLAUSES, min_size=1, max_size=3).map(",".join), NUMBERS)
@example("<2", VersionNumber(1, HIGHEST, HIGHEST))
@example("~=1.2", VersionNumber(1, HIGHEST, 0))
@example("==1.*", VersionNumber(1, 0, HIGHEST))
def test_admitted_numbers_lie_within_the_bounds(text: str, number: VersionNumber) -> None:
    assert isinstance(parse_selector(text), Range)
    lowest, highest = ranges.bounds(text)
    if ranges.admits(text, number):
        assert lowest <= number <= highest


@pytest.mark.parametrize(
    ("text", "lowest", "highest"),
    [
        (">=1.2,<2", (1, 2, 0), (2, 0, 0)),
        (">1.2.3", (1, 2, 3), (HIGHEST,) * 3),
        ("<=2.1", (1, 0, 0), (2, 1, 0)),
        ("~=1.2", (1, 2, 0), (1, HIGHEST, HIGHEST)),
        ("~=1.2.3", (1, 2, 3), (1, 2, HIGHEST)),
        ("==1.2.*", (1, 2, 0), (1, 2, HIGHEST)),
        ("==1.2", (1, 2, 0), (1, 2, 0)),
        ("!=1.2", (1, 0, 0), (HIGHEST,) * 3),
        (f"<{10**30}", (1, 0, 0), (HIGHEST, 0, 0)),
    ],
)
def test_bounds_of_a_range(text: str, lowest: tuple[int, ...], highest: tuple[int, ...]) -> None:
    assert ranges.bounds(text) == (lowest, highest)
