"""How the page writes times, digests, long names, and text with characters that nobody sees."""

from datetime import UTC, datetime, timedelta

from opstore_daemon.system.invisible import escape, is_invisible

_UNITS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))
RECENT = timedelta(days=30)  # beyond, a date says more than a number of days


_LEFT = frozenset("\n\t\u200c\u200d\u200e\u200f\u061c")  # lines, and what Persian, emoji, Hebrew and Arabic need


def visible(text: str) -> str:
    r"""Return the text with its invisible characters as escapes, such as `\u202e`.

    An element isolates the direction of its text, but a text can end this isolation early (Unicode Standard Annex 9,
    rules X5a to X6a), and reverse what follows.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(escape(each) if is_invisible(each) and each not in _LEFT else each for each in text)


def ago(time: datetime, now: datetime) -> str:
    """Return how long ago the time was; its date if that is more than RECENT, or in the future."""
    passed = now - time
    if not timedelta(minutes=-1) < passed < RECENT:
        return time.astimezone(UTC).strftime("%Y-%m-%d")
    for unit, length in _UNITS:
        count = passed // length
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def moment(time: datetime) -> str:
    """Return the time to the minute, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def readable(time: datetime) -> str:
    """Return the time to the second, for people."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def exact(time: datetime) -> str:
    """Return the time as in RFC 3339."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_of_text(as_of: str) -> str:
    """Return the time or position of a past state, for people; seconds only if there are any."""
    if as_of.isdigit():
        return f"position {as_of}"
    time = datetime.fromisoformat(as_of).astimezone(UTC).replace(tzinfo=None)
    return f"{time.isoformat(' ', 'auto' if time.second or time.microsecond else 'minutes')} UTC"


def as_of_button(as_of: str) -> str:
    """Return the date or position of a past state, short enough for a button."""
    return as_of if as_of.isdigit() else as_of[:10]


def short(digest: str) -> str:
    """Return the first digits of a digest: enough for a reference."""
    return digest.removeprefix("sha256:")[:12]


def middle(name: str, most: int) -> str:
    """Return the name, shortened in its middle to `most` characters: names often differ at their end."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 3
    return f"{name[: most - 1 - tail]}…{name[-tail:]}"


def excerpt(text: str, sought: str, most: int = 160) -> tuple[str, str, str]:
    """Return the text before, within and after the first match of `sought`, in any case, shortened to about `most`.

    The match is "" if the text does not contain it.
    """
    start = text.lower().find(sought.lower())
    if start < 0 or len(text.lower()) != len(text):  # some letters have another length in lower case
        return (text if len(text) <= most else f"{text[:most]}…"), "", ""
    end = start + len(sought)
    before, after = text[max(start - most // 2, 0) : start], text[end : end + most // 2]
    return (
        ("…" if start > most // 2 else "") + before,
        text[start:end],
        after + ("…" if end + most // 2 < len(text) else ""),
    )
