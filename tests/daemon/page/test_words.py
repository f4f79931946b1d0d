"""How the page writes times and long names."""

from datetime import UTC, datetime, timedelta

import pytest

from opstore_daemon.web.page import words

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=-30), "just now"),  # the clocks of two computers
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=47), "1 day ago"),
        (timedelta(days=29, hours=23), "29 days ago"),
        (timedelta(days=30), "2026-04-04"),
        (timedelta(hours=-2), "2026-05-04"),
    ],
)
def test_a_time_is_written_as_how_long_ago_it_was(passed: timedelta, text: str) -> None:
    assert words.ago(NOW - passed, NOW) == text


@pytest.mark.parametrize(
    ("as_of", "text"),
    [
        ("12", "position 12"),
        ("2026-05-04T10:30:00Z", "2026-05-04 10:30 UTC"),
        ("2026-05-04T10:30:15Z", "2026-05-04 10:30:15 UTC"),
        ("2026-05-04T10:30:15.000250Z", "2026-05-04 10:30:15.000250 UTC"),
        ("2026-05-04T10:30:00+02:00", "2026-05-04 08:30 UTC"),
    ],
)
def test_a_past_state_is_named_by_its_time_or_position(as_of: str, text: str) -> None:
    assert words.as_of_text(as_of) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\n\tlines", "two\n\tlines"),
        ("\u202ea\u2069\u200b\x1b\r\u2028\U000e0041", "\\u202ea\\u2069\\u200b\\x1b\\x0d\\u2028\\U000e0041"),
        ("می\u200cخواهم \u200f👩\u200d💻 שלום", "می\u200cخواهم \u200f👩\u200d💻 שלום"),
        ("ü\\", "ü\\"),
    ],
)
def test_invisible_characters_are_shown(text: str, shown: str) -> None:
    assert words.visible(text) == shown


def test_a_long_name_is_shortened_in_the_middle() -> None:
    assert words.middle("short", 22) == "short"
    assert words.middle("a" * 22, 22) == "a" * 22
    assert words.middle("a" * 60 + "_of_may", 22) == "a" * 14 + "…_of_may"
    assert all(len(words.middle("x" * 128, most)) == most for most in range(8, 40))


@pytest.mark.parametrize(
    ("text", "sought", "found"),
    [
        ("made in Week 3", "week", ("made in ", "Week", " 3")),
        ("x" * 100 + "here" + "y" * 100, "HERE", ("…" + "x" * 10, "here", "y" * 10 + "…")),
        ("a label's value", "its key", ("a label's value", "", "")),
        ("v" * 30, "its key", ("v" * 20 + "…", "", "")),
        ("İİ" + "x", "x", ("İİx", "", "")),  # two characters more in lower case
    ],
)
def test_an_excerpt_shows_the_match(text: str, sought: str, found: tuple[str, str, str]) -> None:
    assert words.excerpt(text, sought, most=20) == found
