"""Parsing durations."""

import pytest

from opstore_daemon.protocol.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("10 min", 600.0),
        (" 2H\n", 7200.0),
        ("1d", 86400.0),
        ("999999999", 999_999_999.0),
    ],
)
def test_a_duration_is_a_number_with_an_optional_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5h", "1w", "h", "1h30m", "1_0", "\u0661m", "1000000000"])
def test_an_invalid_duration_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration such as 90, 90s, 10m, 2h or 1d$"):
        parse_duration(text)
