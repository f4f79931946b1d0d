"""The output of a command: data to stdout, everything else to stderr.

All text passes through `escape_controls` and none through rich's markup, so that nothing that a user wrote (a message,
a label, a file name, the details of an error) reaches the terminal as an escape sequence.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import click

from opstore_cli.output import pager, streams, tables
from opstore_cli.output.escaping import escape_controls, escape_in_json
from opstore_cli.output.progress import BarProgress, LogProgress, NullDisplay, Parts, escape_parts, new_display
from opstore_cli.output.tables import Table
from opstore_cli.output.terminal import is_colored
from opstore_cli.output.terminal import is_terminal as _is_terminal
from opstore_cli.output.width import terminal_width, wrap
from opstore_daemon.protocol import errors
from opstore_daemon.system.stray_bytes import escape_in_message, escape_stray_bytes

HANG = 2  # blanks before the further lines of a message, which show where the next message begins


def _own_advice(error: errors.OpStoreError) -> str:
    return error.advice


@dataclass(slots=True)
class Output:
    """Writes the output of one command, in the format that the global options select.

    `advise` returns the advice for an error: that of its class, unless the settings make another one fit.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    advise: Callable[[errors.OpStoreError], str] = field(default=_own_advice, repr=False)
    _display: BarProgress | LogProgress | NullDisplay = field(default_factory=NullDisplay)

    # --- data, on stdout --------------------------------------------------------------------------------------

    def write_result(self, document: Any, *, quiet: Iterable[str], full: "Table | Iterable[str]") -> None:
        """Write a result: `document` with --json, the identifiers `quiet` with -q, else the lines or table `full`."""
        if self.json:
            self.write_json(document)
        elif self.quiet:
            self.write_lines(quiet)
        elif isinstance(full, Table):
            self._write_table(full)
        else:
            self.write_lines(full)

    @property
    def shows_tables(self) -> bool:
        """Return whether results are tables for a person, in a pager if they are long."""
        return _is_terminal(sys.stdout) and not (self.json or self.quiet)

    def write_json(self, document: Any) -> None:
        """Write the one JSON document of --json: a record, or a dict with records in it."""
        import msgspec

        from opstore_daemon.protocol.records import encode

        try:
            body = encode(document)
        except UnicodeEncodeError:  # a path that is not UTF-8
            body = encode(_escaped(msgspec.to_builtins(document, enc_hook=str)))
        if _is_terminal(sys.stdout):
            body = msgspec.json.format(body, indent=2)
        stdout = _standard_output()
        with streams.translated_errors():
            _write_utf_8(stdout, escape_in_json(body.decode()).encode() + b"\n")

    def write_lines(self, lines: Iterable[str]) -> None:
        """Write each text on its own line."""
        for line in lines:
            _standard_output().write(escape_controls(line) + "\n")

    def write_text(self, lines: Iterable[str]) -> None:
        """Write the lines of a text in which tabs are tabs: on a terminal in a pager if it is long."""
        text = "".join("\t".join(map(escape_controls, line.split("\t"))) + "\n" for line in lines)
        if not (_is_terminal(sys.stdout) and pager.show(text, terminal_width(sys.stdout))):
            _standard_output().write(text)

    def _write_table(self, table: Table) -> None:
        if not _is_terminal(sys.stdout):
            _standard_output().write(tables.format_tabs(table))
            return
        width = terminal_width(sys.stdout)
        text = tables.format_columns(table, width, self._colored(sys.stdout))
        if not text:
            self.note(table.none)
        elif not pager.show(text, width):
            _standard_output().write(text)

    # --- everything else, on stderr ---------------------------------------------------------------------------

    def note(self, text: str, *, always: bool = False) -> None:
        """Write a note. With -q it is dropped unless `always` is set."""
        if always or not self.quiet:
            self._aside("note", text, "")

    def tip(self, text: str) -> None:
        """Write what to do next, if a person reads the result on a terminal."""
        if self.shows_tables:
            self.note(text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        self._aside("warning", text, "yellow")

    def error(self, error: errors.OpStoreError) -> None:
        """Write an error of the store: what failed, why, and what to do."""
        self.failure(error.code, error.text, self.advise(error), error.details)

    def failure(self, code: str, text: str, advice: str = "", details: dict[str, Any] | None = None) -> None:
        """Write an error: as JSON with --json, else the text, with -v the details, and the advice."""
        if self.json:
            body = {"code": code, "message": text, "details": details or {}, "hint": advice or None}
            self._stderr_json({"error": body})
            return
        self._message("error:", "red", text)
        if self.verbose:
            for name, value in (details or {}).items():
                self._stderr(f"  {_shown(name)}: {_shown(value)}")
        if advice:
            self._message("hint:", "cyan", advice)

    def traceback(self, lines: Iterable[str]) -> None:
        """Write the traceback of an internal error, keeping its line breaks. JSON has it in the details."""
        if not self.json:
            for line in "".join(lines).splitlines():
                self._stderr(escape_controls(line))

    @contextmanager
    def progress(
        self, title: str, parts: Parts | None = None, unit: str = ""
    ) -> "Iterator[BarProgress | LogProgress | NullDisplay]":
        """Show the progress of transfers until the block ends: of one, which calls `moved`, or of several `parts`.

        A part is a name and the total bytes, None if unknown. A terminal gets bars once bytes have been moving for
        half a second; anything else gets a line every few seconds. `unit` is what is counted; empty: bytes.
        """
        display = self._display = self._new_display(escape_controls(title), escape_parts(parts), unit)
        try:
            yield display
        finally:
            self._display = NullDisplay()
            display.stop()

    def _new_display(self, title: str, parts: Parts, unit: str) -> "BarProgress | LogProgress | NullDisplay":
        if self.json or self.quiet:
            return NullDisplay()
        return new_display(title, parts, self._stderr, colored=self._colored(sys.stderr), unit=unit)

    def retitle(self, title: str) -> None:
        """Change the title of the progress that is shown."""
        self._display.retitle(escape_controls(title))

    def flush(self) -> None:
        """Pass on what was written to stdout so far: the command goes on, and what reads it should have it."""
        with streams.translated_errors():
            _standard_output().flush()

    def moved(self, done: int, total: int | None) -> None:
        """Report that the one transfer has moved `done` bytes of `total`, None if unknown."""
        self._display.moved(0, done, total)

    def _aside(self, kind: str, text: str, color: str) -> None:
        if self.json:
            self._stderr_json({kind: text})
        elif kind == "note":
            for line in self._lines(text):
                self._stderr(line)
        else:
            self._message(f"{kind}:", color, text)

    def _message(self, kind: str, color: str, text: str) -> None:
        first, *others = self._lines(text, len(kind) + 1)
        for line in (f"{self._marked(kind, color)} {first}", *others):
            self._stderr(line)

    def _lines(self, text: str, taken: int = 0) -> list[str]:
        """Return the message in lines for stderr: on a terminal, wrapped at words behind `taken` columns."""
        shown = _shown(text)
        return wrap(shown, terminal_width(sys.stderr), first=taken, hang=HANG) if _is_terminal(sys.stderr) else [shown]

    def _marked(self, word: str, color: str) -> str:
        return click.style(word, fg=color, bold=True) if self._colored(sys.stderr) else word

    def _stderr(self, line: str) -> None:
        with _on_stderr():
            click.echo(line, err=True, color=self._colored(sys.stderr))

    def _stderr_json(self, document: dict[str, Any]) -> None:
        with _on_stderr():
            _write_utf_8(sys.stderr, json.dumps(_escaped(document, escape_in_message)).encode() + b"\n")

    def _colored(self, stream: Any) -> bool:
        return not self.no_color and _is_terminal(stream) and is_colored()


@contextmanager
def _on_stderr() -> Iterator[None]:
    """Write to stderr in the context. A failure of stderr can be reported nowhere, and must not fail the command."""
    # The order is kept if both streams are one file or pipe. A failure of stdout is reported by the flush at exit.
    with suppress(OSError, ValueError, AttributeError, errors.OutputFailed):
        sys.stdout.flush()
    with suppress(OSError, ValueError, AttributeError):
        yield


def _shown(text: object) -> str:
    """Return a message as a line of text."""
    return escape_controls(escape_in_message(str(text)))


def _escaped(value: Any, escape: Callable[[str], str] = escape_stray_bytes) -> Any:
    """Return the value as JSON can represent it: stray bytes of file names become escapes, other objects text."""
    if isinstance(value, dict):
        return {escape(str(key)): _escaped(each, escape) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(each, escape) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return escape(str(value))


def _write_utf_8(stream: Any, data: bytes) -> None:
    """Write UTF-8 to a stream whose own encoding may be another one, which JSON must not have."""
    binary = getattr(stream, "buffer", None)
    if binary is None:  # text in memory
        stream.write(data.decode())
        return
    stream.flush()
    binary.write(data)
    binary.flush()


def _standard_output() -> Any:
    """Return sys.stdout. Raises OutputFailed if the caller closed it before the program started."""
    if sys.stdout is None:
        raise errors.OutputFailed(path="standard output", reason="it is closed")
    return sys.stdout
