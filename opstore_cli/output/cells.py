"""What a table cell shows: an exact form for programs and a readable one for a terminal."""

from datetime import UTC, datetime
from typing import NamedTuple

from opstore_cli.output.progress import amount

NOTHING = "-"  # an empty cell: a shell's `read` would run two tabs into one
MARKS = {"valid": "✓ valid", "invalid": "✗ invalid", "unknown": "? unknown"}
STYLES = {"valid": "green", "invalid": "red", "unknown": "yellow"}


class Cell(NamedTuple):
    """What a table holds: a plain form for programs and, where it differs, one for a terminal."""

    plain: str
    pretty: str | None = None
    style: str = ""

    def for_people(self) -> str:
        """The form for a terminal."""
        return self.plain if self.pretty is None else self.pretty


def named(op: str, number: str | None) -> str:
    """`NAME@VERSION`, or the bare name where there is no number."""
    return op if number is None else f"{op}@{number}"


def words(text: str | None) -> Cell:
    """Free text, or a dash where there is none."""
    return Cell(text or NOTHING, text or "")


def size(count: int | None) -> Cell:
    """Bytes: exact for programs, in kB, MB … for people."""
    if count is None:
        return Cell(NOTHING, "not stored", "dim")
    return Cell(str(count), amount(count))


def exact(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def when(moment: datetime, now: datetime | None = None) -> Cell:
    """A time: exact for programs, how long ago for people."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for limit, unit, length in ((60, "s", 1), (3600, "min", 60), (172800, "h", 3600), (2592000, "days", 86400)):
        if 0 <= seconds < limit:
            return Cell(exact(moment), f"{int(seconds // length)} {unit} ago")
    return Cell(exact(moment), exact(moment)[:10] if seconds > 0 else exact(moment))


def verdict(word: str) -> Cell:
    """A verdict, marked in form and, where there is colour, in colour."""
    return Cell(word, MARKS.get(word, word), STYLES.get(word, ""))
