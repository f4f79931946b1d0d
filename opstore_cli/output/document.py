"""The output of a command: data to stdout, everything else to stderr.

All text passes through `escape_controls` and none through rich's markup, so that nothing that a user wrote (a message,
a label, a file name, the details of an error) reaches the terminal as an escape sequence.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import click

from opstore_cli.output.escaping import escape_controls, in_json
from opstore_cli.output.progress import BarProgress, LogProgress, NullDisplay
from opstore_cli.output.tables import NARROWEST, NUMBERS, PROSE, Table, stacked
from opstore_daemon.protocol import errors


@dataclass(slots=True)
class Output:
    """How one command writes. The flags are those of the command line."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    _display: BarProgress | LogProgress | NullDisplay = field(default_factory=NullDisplay)

    # --- data, on stdout --------------------------------------------------------------------------------------

    def write_result(self, document: Any, *, quiet: Iterable[str], full: "Table | Iterable[str]") -> None:
        """Writes one answer in the form that was asked for: the document, the identifiers, or lines or a table."""
        if self.json:
            self.write_json(document)
        elif self.quiet:
            self.write_lines(quiet)
        elif isinstance(full, Table):
            self._table(full)
        else:
            self.write_lines(full)

    def write_json(self, document: Any) -> None:
        """The one JSON document of `--json`: a record, or a dict with records in it."""
        import msgspec

        body = msgspec.json.encode(document)
        if _is_terminal(sys.stdout):
            body = msgspec.json.format(body, indent=2)
        _write(body.decode() + "\n")

    def write_lines(self, lines: Iterable[str]) -> None:
        """Each on a line of its own."""
        for line in lines:
            _write(escape_controls(line) + "\n")

    def _table(self, table: Table) -> None:
        if _is_terminal(sys.stdout):
            self._rich_table(table)
            return
        for row in table.cells():
            _write("\t".join(escape_controls(cell.plain) for cell in row) + "\n")

    def _rich_table(self, table: Table) -> None:
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        rows = [[Text(escape_controls(cell.for_people()), style=cell.style) for cell in row] for row in table.cells()]
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
            self.write_lines(stacked(table.headers, rows))
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
        self._stderr(f"{self._marked('error:', 'red')} {escape_controls(text)}")
        if self.verbose:
            for name, value in (details or {}).items():
                self._stderr(f"  {escape_controls(name)}: {escape_controls(value)}")
        if advice:
            self._stderr(f"{self._marked('hint:', 'cyan')} {escape_controls(advice)}")

    def traceback(self, lines: Iterable[str]) -> None:
        """The traceback of a bug, for -v. Its own line breaks stay."""
        if not self.json:
            for line in "".join(lines).splitlines():
                self._stderr(escape_controls(line))

    @contextmanager
    def progress(
        self, what: str, parts: Sequence[tuple[str, int | None]] | None = None
    ) -> "Iterator[BarProgress | LogProgress | NullDisplay]":
        """While this lasts, it is shown how far transfers are: one, that calls `moved`, or several `parts`.

        A part has a name and, where that is known, all its bytes. On a terminal there are bars, once bytes have been
        moving for half a second; elsewhere a line every few seconds.
        """
        display = self._display = self._new_display(
            escape_controls(what), [(escape_controls(name), size) for name, size in parts or [("", None)]]
        )
        try:
            yield display
        finally:
            self._display = NullDisplay()
            display.stop()

    def _new_display(
        self, what: str, parts: Sequence[tuple[str, int | None]]
    ) -> "BarProgress | LogProgress | NullDisplay":
        if self.json or self.quiet:
            return NullDisplay()
        if _is_terminal(sys.stderr) and not _is_dumb():
            return BarProgress(what, parts, colored=self._colored(sys.stderr))
        return LogProgress(what, parts, self._stderr)

    def moved(self, done: int, total: int | None) -> None:
        """What the one transfer calls with the bytes so far, and all of them or None."""
        self._display.moved(0, done, total)

    def _aside(self, kind: str, text: str, color: str) -> None:
        if self.json:
            self._stderr(json.dumps({kind: in_json(text)}))
        elif kind == "note":
            self._stderr(escape_controls(text))
        else:
            self._stderr(f"{self._marked(kind + ':', color)} {escape_controls(text)}")

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
