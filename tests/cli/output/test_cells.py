"""Sizes and times, exact for programs and rounded for people."""

from datetime import datetime, timedelta

import pytest

from opstore_cli.output.cells import Cell, format_time, size_cell, time_cell
from tests.cli.output.fakes import THEN


@pytest.mark.parametrize(
    ("count", "pretty"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12345, "12.3 kB"),
        (123456, "123 kB"),
        (999_500, "1.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (2**63 - 1, "9223 PB"),
    ],
)
def test_sizes_are_exact_for_programs_and_rounded_for_people(count: int, pretty: str) -> None:
    assert size_cell(count) == Cell(str(count), pretty)


@pytest.mark.parametrize(
    ("ago", "pretty"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=29), "29 days ago"),
        (timedelta(days=31), "2024-05-06"),
        (timedelta(seconds=-5), "2024-05-06T07:08:09Z"),
    ],
)
def test_times_are_exact_for_programs_and_relative_for_people(ago: timedelta, pretty: str) -> None:
    assert time_cell(THEN, THEN + ago) == Cell("2024-05-06T07:08:09Z", pretty)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_outside_of_the_calendar_in_utc_keeps_its_offset(text: str) -> None:
    assert format_time(datetime.fromisoformat(text)) == text
