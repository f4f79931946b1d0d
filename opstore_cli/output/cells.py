"""Table cells, with an exact form for programs and a readable one for a terminal."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from opstore_cli.output.width import shorten
from opstore_daemon.protocol.sizes import format_size

EMPTY = "-"  # off a terminal: a shell's `read` takes two tabs for one
MARKS = {"valid": "✓ valid", "invalid": "✗ invalid", "unknown": "? unknown"}
STYLES = {"valid": "green", "invalid": "red", "unknown": "yellow"}
RESULTS = {"passed": "valid", "failed": "invalid", "unknown": "unknown"}  # of runs, with the mark of the verdict
MAX_COMMAND = 160  # columns of a command on a terminal
NOT_VALIDATED = "○ invalid"  # nobody has found that it is not valid


class Cell(NamedTuple):
    """A value in a table: `plain` for programs and, where it differs, `pretty` for a terminal."""

    plain: str
    pretty: str | None = None
    style: str = ""

    def for_people(self) -> str:
        """Return the form for a terminal."""
        return self.plain if self.pretty is None else self.pretty


def key_cell(key: str) -> Cell:
    """Return a cell of a key of JSON, which a terminal shows in words: `registered` for registered_at."""
    return Cell(key, key.removesuffix("_at").replace("_", " "))


def text_cell(text: str | None) -> Cell:
    """Return a cell of free text, a dash if there is none."""
    return Cell(text or EMPTY, text or "")


def first_line_cell(text: str | None) -> Cell:
    """Return a cell of free text of which a terminal shows the first line; a dash if there is none."""
    return Cell(text or EMPTY, (text or "").partition("\n")[0])


def author_cell(author: str | None) -> Cell:
    """Return a cell of an author, of whom a terminal shows the name without the address."""
    return Cell(author or EMPTY, (author or "").partition(" <")[0])


def size_cell(count: int | None) -> Cell:
    """Return a cell of a number of bytes: exact for programs, in kB, MB … on a terminal."""
    if count is None:
        return Cell(EMPTY, "not stored", "dim")
    return Cell(str(count), format_size(count))


def format_time(moment: datetime) -> str:
    """Return the time as RFC 3339, to the second: in UTC, unless it is before the year 1 or after 9999 there."""
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return moment.isoformat(timespec="seconds")


def time_cell(moment: datetime, now: datetime | None = None) -> Cell:
    """Return a cell of a time: exact for programs, how long ago on a terminal."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for limit, unit, length in ((60, "s", 1), (3600, "min", 60), (172800, "h", 3600), (2592000, "days", 86400)):
        if 0 <= seconds < limit:
            return Cell(format_time(moment), f"{int(seconds // length)} {unit} ago")
    return Cell(format_time(moment), format_time(moment)[:10] if seconds > 0 else format_time(moment))


def result_cell(result: str) -> Cell:
    """Return a cell of the result of a run: on a terminal with a mark and a colour."""
    verdict = RESULTS[result]
    return Cell(result, f"{MARKS[verdict][0]} {result}", STYLES[verdict])


def command_cell(command: Sequence[str], limit: int = MAX_COMMAND) -> Cell:
    """Return a cell of a command as one types it in a shell, of which a terminal shows the beginning."""
    plain = shlex.join(command)
    return Cell(plain, shorten(plain[: limit + 1], limit))  # what is not shown is not measured


def verdict_cell(word: str, basis: str = "") -> Cell:
    """Return a cell of a verdict: on a terminal with a mark, which depends on the basis too, and a colour."""
    return Cell(word, marked_verdict(word, basis), STYLES.get(word, ""))


def marked_verdict(word: str, basis: str = "") -> str:
    """Return the verdict with its mark; that of a version that only was not validated is another one."""
    return NOT_VALIDATED if basis == "not-validated" else MARKS.get(word, word)
