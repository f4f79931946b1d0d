"""Times as people write them for `--as-of`: what each means, in UTC, and what is refused."""

import pickle
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.times import AsOf, as_shown

NOW = datetime(2026, 11, 30, 10, 0, 0, 5, tzinfo=UTC)

MEANINGS = {
    "2026-03-01": "2026-03-01T00:00:00Z",
    "2026-03-01 10:00": "2026-03-01T10:00:00Z",
    "2026-03-01T10:00:00+02:00": "2026-03-01T08:00:00Z",
    "now": "2026-11-30T10:00:00.000005Z",
    "today 9:30": "2026-11-30T09:30:00Z",
    "yesterday": "2026-11-29T10:00:00Z",
    "Yesterday": "2026-11-29T10:00:00Z",
    "yesterday at 09:30:15": "2026-11-29T09:30:15Z",
    "2 days ago": "2026-11-28T10:00:00Z",
    "  2   days\tago ": "2026-11-28T10:00:00Z",
    "2d": "2026-11-28T10:00:00Z",
    "2h ago": "2026-11-30T08:00:00Z",
    "90m": "2026-11-30T08:30:00Z",
    "an hour ago": "2026-11-30T09:00:00Z",
    "one week ago": "2026-11-23T10:00:00Z",
    "last week": "2026-11-23T10:00:00Z",
    "1h30m ago": "2026-11-30T08:30:00Z",
    "1 day, 2 hours ago": "2026-11-29T08:00:00Z",
    "1 day and 2 hours ago": "2026-11-29T08:00:00Z",
    "9 months ago": "2026-02-28T10:00:00Z",
    "a year ago": "2025-11-30T10:00:00Z",
    "5mo": "2026-06-30T10:00:00Z",
}
REFUSED = [
    *("", "ago", "2 ago", "day ago", "2 dayz ago", "tomorrow", "in 2 days", "-2d", "monday", "may", "pca", "1.0.0"),
    *("2026-02-30", "2026-13-01", "yesterday at 25:00", "5 ms ago", "1 day and", "٢ days ago", "99999-01-01"),
    *("999999 years ago", "2 days ago" * 1000, "1d" * 5000, "a" * 10_000, "1 a " * 5000),
]


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(("text", "exact"), MEANINGS.items())
def test_a_time_means_an_exact_time_in_utc(text: str, exact: str) -> None:
    parsed = AsOf.parse(text, NOW)
    assert parsed == exact
    assert parsed.with_words == f"{exact.replace('T', ' ')} ({' '.join(text.split())})"
    assert AsOf.parse(parsed) is parsed


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="is not a position of the journal, a time such as") as refused:
        AsOf.parse(text, NOW)
    assert len(refused.value.text) < 250


@pytest.mark.parametrize("text", ["0", "12", "20261130", "9" * 30])
def test_digits_are_a_position(text: str) -> None:
    assert (AsOf.parse(text), AsOf.parse(text).with_words) == (text, f"position {text}")


def test_a_time_in_utc_is_named_without_repeating_it() -> None:
    for text in ("2026-03-01T10:00:00Z", "2026-03-01 10:00:00Z"):
        assert AsOf.parse(text).with_words == "2026-03-01 10:00:00Z"


@pytest.mark.usefixtures("in_utc")
def test_a_day_keeps_the_local_time_of_day_when_the_clocks_change(in_utc: pytest.MonkeyPatch) -> None:
    in_utc.setenv("TZ", "Europe/Berlin")
    time.tzset()
    after = datetime(2026, 10, 25, 10, tzinfo=UTC)  # 11:00, after the change from +02:00 to +01:00
    assert AsOf.parse("1 day ago", after) == "2026-10-24T09:00:00Z"
    assert AsOf.parse("24 hours ago", after) == "2026-10-24T10:00:00Z"
    assert AsOf.parse("2026-03-01", after) == "2026-02-28T23:00:00Z"
    assert AsOf.of(date(2026, 3, 1)) == AsOf.of(datetime(2026, 3, 1)) == "2026-02-28T23:00:00Z"  # noqa: DTZ001
    assert AsOf.of(datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=5)))) == "2026-02-28T19:00:00Z"


def test_the_words_survive_a_pickle() -> None:
    parsed = AsOf.parse("2 days ago", NOW)
    assert pickle.loads(pickle.dumps(parsed)).with_words == parsed.with_words  # noqa: S301


def test_a_parameter_is_named_in_utc() -> None:
    assert as_shown("12") == "position 12"
    assert as_shown("2026-03-01T10:00:00+02:00") == "2026-03-01 08:00:00Z"
