"""The only place that writes for people: data to stdout, everything else to stderr.

Whatever is written passes through `shown`, so that nothing a user wrote (a message, a label, a file name, the details
of an error) reaches the terminal as an escape sequence, and nothing passes through rich's markup.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import click

from opstore_cli.output.progress import Bars, Lines, Unseen, amount
from opstore_daemon.protocol import errors

NARROWEST = 10  # letters to which a column may be folded
NOTHING = "-"  # an empty cell: a shell's `read` would run two tabs into one
MARKS = {"valid": "✓ valid", "invalid": "✗ invalid", "unknown": "? unknown"}
NUMBERS = frozenset({"SIZE", "VERSIONS", "EDGES"})  # columns that are compared by their digits
PROSE = frozenset({"EVIDENCE", "FOUND", "MESSAGE", "OPS", "REASON", "TAGS", "WHAT TO DO"})  # that may be folded
STYLES = {"valid": "green", "invalid": "red", "unknown": "yellow"}

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # of category Cf, but Persian words and family emoji are made with them
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: object) -> str:
    """The text with every control character, format character and stray byte written as an escape.

    That is C0 and C1 controls, bidi overrides and other invisible characters, line separators, and the surrogates
    that stand for bytes of a file name that are not UTF-8. A backslash stays as it is.
    """
    words = str(text)
    if words.isascii() and words.isprintable():
        return words
    return "".join(_escaped(char) if unicodedata.category(char) in _HIDDEN else char for char in words)


def _escaped(char: str) -> str:
    if char in _JOINERS:
        return char
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's stand-in for the byte
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def in_json(text: str) -> str:
    """The text as JSON can hold it: a stray byte of a file name becomes an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


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


@dataclass(slots=True)
class Table:
    """Rows under headers. A str is a cell that looks the same everywhere."""

    headers: Sequence[str]
    rows: Iterable[Sequence[Cell | str]]

    def cells(self) -> Iterator[list[Cell]]:
        """The rows, all of cells."""
        for row in self.rows:
            yield [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


@dataclass(slots=True)
class Output:
    """How one command writes. The flags are those of the command line."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    _display: Bars | Lines | Unseen = field(default_factory=Unseen)

    # --- data, on stdout --------------------------------------------------------------------------------------

    def answer(self, document: Any, *, quiet: Iterable[str], full: "Table | Iterable[str]") -> None:
        """Writes one answer in the form that was asked for: the document, the identifiers, or lines or a table."""
        if self.json:
            self.document(document)
        elif self.quiet:
            self.lines(quiet)
        elif isinstance(full, Table):
            self._table(full)
        else:
            self.lines(full)

    def document(self, document: Any) -> None:
        """The one JSON document of `--json`: a record, or a dict with records in it."""
        import msgspec

        body = msgspec.json.encode(document)
        if _is_terminal(sys.stdout):
            body = msgspec.json.format(body, indent=2)
        _write(body.decode() + "\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Each on a line of its own."""
        for line in lines:
            _write(shown(line) + "\n")

    def _table(self, table: Table) -> None:
        if _is_terminal(sys.stdout):
            self._rich_table(table)
            return
        for row in table.cells():
            _write("\t".join(shown(cell.plain) for cell in row) + "\n")

    def _rich_table(self, table: Table) -> None:
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        rows = [[Text(shown(cell.for_people()), style=cell.style) for cell in row] for row in table.cells()]
        if not rows:
            return
        color: Literal["auto"] | None = "auto" if self._colored(sys.stdout) else None
        console = Console(force_terminal=True, color_system=color, markup=False, emoji=False, highlight=False)
        widths = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
        # Only prose is folded: an identifier is not one any more in two lines.
        folded = [
            place > 0 and (header in PROSE or not any(table.headers)) for place, header in enumerate(table.headers)
        ]
        needed = [min(width, NARROWEST) if may else width for width, may in zip(widths, folded, strict=True)]
        if sum(needed) + 2 * (len(needed) - 1) > console.width:
            self.lines(_stacked(table.headers, rows))
            return
        drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(table.headers))
        for header, may in zip(table.headers, folded, strict=True):
            justify: Literal["left", "right"] = "right" if header in NUMBERS else "left"
            drawn.add_column(Text(header, style="bold"), overflow="fold", justify=justify, no_wrap=not may)
        for row in rows:
            drawn.add_row(*row)
        with console.capture() as captured:
            console.print(drawn)
        # Rich fills lines with blanks up to the width: a narrower window later would break them.
        _write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))

    # --- everything else, on stderr ---------------------------------------------------------------------------

    def note(self, text: str, *, always: bool = False) -> None:
        """Something worth knowing; with -q only where it has to be said `always`."""
        if always or not self.quiet:
            self._aside("note", text, "")

    def tip(self, text: str) -> None:
        """What to do next, for whoever sits at a terminal and reads the answer there."""
        if _is_terminal(sys.stdout) and not self.json:
            self.note(text)

    def warn(self, text: str) -> None:
        """Something that may be wrong."""
        self._aside("warning", text, "yellow")

    def error(self, error: errors.OpStoreError) -> None:
        """What failed and why, and the command to run next."""
        self.failure(error.code, error.text, error.advice, error.details)

    def failure(self, code: str, text: str, advice: str = "", details: dict[str, Any] | None = None) -> None:
        """The same, for what is not one of our errors."""
        if self.json:
            told = {name: in_json(said) if isinstance(said, str) else said for name, said in (details or {}).items()}
            body = {"code": code, "message": in_json(text), "details": told, "hint": in_json(advice) or None}
            self._stderr(json.dumps({"error": body}, default=str))
            return
        self._stderr(f"{self._marked('error:', 'red')} {shown(text)}")
        if self.verbose:
            for name, value in (details or {}).items():
                self._stderr(f"  {shown(name)}: {shown(value)}")
        if advice:
            self._stderr(f"{self._marked('hint:', 'cyan')} {shown(advice)}")

    def traceback(self, lines: Iterable[str]) -> None:
        """The traceback of a bug, for -v. Its own line breaks stay."""
        if not self.json:
            for line in "".join(lines).splitlines():
                self._stderr(shown(line))

    @contextmanager
    def progress(
        self, what: str, parts: Sequence[tuple[str, int | None]] | None = None
    ) -> "Iterator[Bars | Lines | Unseen]":
        """While this lasts, it is shown how far transfers are: one, that calls `moved`, or several `parts`.

        A part has a name and, where that is known, all its bytes. On a terminal there are bars, once bytes have been
        moving for half a second; elsewhere a line every few seconds.
        """
        display = self._display = self._new_display(
            shown(what), [(shown(name), size) for name, size in parts or [("", None)]]
        )
        try:
            yield display
        finally:
            self._display = Unseen()
            display.stop()

    def _new_display(self, what: str, parts: Sequence[tuple[str, int | None]]) -> "Bars | Lines | Unseen":
        if self.json or self.quiet:
            return Unseen()
        if _is_terminal(sys.stderr) and not _is_dumb():
            return Bars(what, parts, colored=self._colored(sys.stderr))
        return Lines(what, parts, self._stderr)

    def moved(self, done: int, total: int | None) -> None:
        """What the one transfer calls with the bytes so far, and all of them or None."""
        self._display.moved(0, done, total)

    def _aside(self, kind: str, text: str, color: str) -> None:
        if self.json:
            self._stderr(json.dumps({kind: in_json(text)}))
        elif kind == "note":
            self._stderr(shown(text))
        else:
            self._stderr(f"{self._marked(kind + ':', color)} {shown(text)}")

    def _marked(self, word: str, color: str) -> str:
        return click.style(word, fg=color, bold=True) if self._colored(sys.stderr) else word

    def _stderr(self, line: str) -> None:
        # Where both streams end in one file or pipe, what was answered before stands before. A failure of stdout is
        # told of by the flush at the end, which meets it again.
        with suppress(OSError, ValueError, AttributeError, errors.OutputFailed):
            sys.stdout.flush()
        # Nobody is left to be told when stderr fails, and the command's own work is not to stop for that.
        try:
            click.echo(line, err=True, color=self._colored(sys.stderr))
        except (OSError, ValueError):
            return

    def _colored(self, stream: Any) -> bool:
        if self.no_color or os.environ.get("NO_COLOR") or not _is_terminal(stream):
            return False
        return os.name == "nt" or not _is_dumb()


def _stacked(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Each cell on a line of its own, for a terminal too narrow for a table; the terminal breaks what is longer."""
    widest = max(map(len, headers))
    for position, row in enumerate(rows):
        if position and any(headers):
            yield ""
        for header, text in zip(headers, row, strict=True):
            if str(text):
                yield f"{header.lower():{widest}} {text}".lstrip()


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # the stream is None or closed
        return False


def _is_dumb() -> bool:
    """Whether the terminal is one that knows no escape sequences."""
    return os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")


def _write(text: str) -> None:
    if sys.stdout is None:
        raise errors.OutputFailed(path="standard output", reason="it is closed")
    sys.stdout.write(text)
