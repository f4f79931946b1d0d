"""Points in the past as people write them, for `--as-of`: positions of the journal, times, and relative times.

The grammar is small and strict. Libraries that read dates guess (docs/decisions.md): a typo must be refused, since it
would be answered with the state of another day.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText

RULE = "a position of the journal, a time such as 2026-03-01 or 2026-03-01T12:00:00Z, or yesterday, 2 days ago, 2h ago"
MAX_LENGTH = 100

_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}
_SHORT = {
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_ONE = {"a": 1, "an": 1, "one": 1}
_AMOUNT = re.compile(r"(?:,? ?and |, ?| ?)([0-9]{1,6}|(?:an?|one)(?= )) ?([a-z]+)", re.ASCII)
_DAY = re.compile(r"(today|yesterday)(?:,? (?:at )?([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?))?", re.ASCII)
_LAST = re.compile(r"last (week|month|year)", re.ASCII)


When = str | int | date  # what the client takes as a point in the past: a datetime is a date too


class AsOf(CheckedText):
    """A position of the journal, or a time in UTC (RFC 3339), as the daemon takes it.

    `words` is what the person wrote, if that was anything else: a relative time, a date or a local time.
    """

    __slots__ = ("words",)

    words: str

    def __new__(cls, text: str, words: str = "") -> Self:
        """Return the value; nothing is checked."""
        made = super().__new__(cls, text)
        made.words = words
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str.__str__(self), self.words

    @classmethod
    def parse(cls, text: str, now: datetime | None = None) -> Self:
        """Parse a position, a time or a relative time; raise InvalidRequest. An AsOf is returned unchanged.

        A time without an offset is local time. `now`: the time that a relative one is subtracted from.
        """
        if isinstance(text, cls):
            return text
        if text.isascii() and text.isdigit():
            return cls(text)
        words = " ".join(text[:MAX_LENGTH].split())
        try:
            moment = _exact(words) or _relative(words.lower(), (now or datetime.now(UTC)).astimezone())
            if moment is not None and len(text) <= MAX_LENGTH:
                return cls.of(moment, words)
        except (ValueError, OverflowError):
            pass
        raise errors.InvalidRequest(reason=f"{text[:60]!r} is not {RULE}")

    @classmethod
    def of(cls, moment: date, words: str = "") -> Self:
        """Return the value of a datetime, or of the beginning of a date; without a zone both are local time.

        Raises ValueError or OverflowError for a time that is not between the years 1 and 9999 in UTC.
        """
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        exact = _rfc_3339(moment)
        return cls(exact, "" if words in (exact, exact.replace("T", " ")) else words)

    @property
    def shown(self) -> str:
        """The value as messages name it: `2026-11-28 10:00:00Z`, or `position 12`."""
        return f"position {self}" if self.isdigit() else self.replace("T", " ")

    @property
    def with_words(self) -> str:
        """The value as messages name it, with what the person wrote: `2026-11-28 10:00:00Z (2 days ago)`."""
        return f"{self.shown} ({self.words})" if self.words else self.shown


def as_shown(text: str) -> str:
    """Return a valid `as_of` parameter as messages name it."""
    return AsOf(text if text.isdigit() else _rfc_3339(datetime.fromisoformat(text))).shown


def _rfc_3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _exact(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _relative(text: str, now: datetime) -> datetime | None:
    """Return the time that the words mean, or None. Days, months and years keep the local time of day."""
    if text in ("now", "today"):
        return now
    now = now.replace(microsecond=0)
    if match := _DAY.fullmatch(text):
        day = _minus(now, int(match[1] == "yesterday"), "day")
        return day if match[2] is None else datetime.combine(day.date(), time.fromisoformat(match[2].zfill(5)))
    if match := _LAST.fullmatch(text):
        return _minus(now, 1, match[1])
    amounts, place = text.removesuffix("ago").rstrip(), 0
    while (match := _AMOUNT.match(amounts, place)) is not None:
        now, place = _minus(now, _ONE.get(match[1]) or int(match[1]), _unit(match[2])), match.end()
    return now if amounts and place == len(amounts) else None


def _unit(word: str) -> str:
    singular = word.removesuffix("s") if len(word) > 2 else word  # ms is no plural of m
    return _SHORT.get(singular, singular)


def _minus(now: datetime, count: int, unit: str) -> datetime:
    """Return the time so many units earlier; raises ValueError for an unknown unit."""
    if unit in _SECONDS:
        return now - timedelta(seconds=count * _SECONDS[unit])
    if unit in _DAYS:
        return _earlier(now, lambda local: local - timedelta(days=count * _DAYS[unit]))
    if unit in _MONTHS:
        return _earlier(now, lambda local: _months_before(local, count * _MONTHS[unit]))
    raise ValueError(unit)


def _earlier(now: datetime, change: Callable[[datetime], datetime]) -> datetime:
    """Change the local time of day and date, and return the time that it was there: clocks change twice a year."""
    return change(now.replace(tzinfo=None)).astimezone()


def _months_before(local: datetime, months: int) -> datetime:
    year, month = divmod(local.year * 12 + local.month - 1 - months, 12)
    if year < 1:
        raise ValueError("before the year 1")
    return local.replace(year=year, month=month + 1, day=min(local.day, monthrange(year, month + 1)[1]))
