"""`opstore log`: list the changes of the store."""

from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.parameters import NameType, NumberType
from opstore_cli.console.run_texts import tip_output
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, author_cell, time_cell
from opstore_cli.output.tables import Table
from opstore_cli.output.width import shorten
from opstore_daemon.protocol.names import Name
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import JournalEntry

NOTHING = "nothing has happened yet: opstore push NAME FILE stores a first version"
HEADERS = ("POSITION", "WHEN", "AUTHOR", "ACTION", "WHAT", "TEXT")
MAX_TEXT = 160  # columns of a message on a terminal
STYLES = {
    "valid for": "green",
    "invalid for": "red",
    "yanked": "yellow",
    "removed": "red",
    "op removed": "red",
    "run passed": "green",
    "run failed": "red",
    "run unknown": "yellow",
}


@command("log")
@click.argument("name", required=False, type=NameType())
@click.option(
    "--limit", metavar="N", type=NumberType(min=1), help="Maximum number of changes (default: 500 on a terminal)."
)
def log(session: Session, name: Name | None, limit: int | None) -> None:
    """List what changed in the store, newest first. NAME lists only the changes of that op or pipeline.

    \b
    Examples:
      opstore log
      opstore log pca --limit 10
      opstore log --json

    Changes are new versions, links, tags, yanks, removals, edits, compatibility levels, descriptions, pipelines, runs
    and bisections. Each one has a position: `--as-of POSITION` of other commands shows the store right after that
    change, and `opstore runs --output POSITION` prints what a run printed.

    Off a terminal the columns are the position, the time, the author, the action, its subject, and the message,
    evidence, reason or labels. The author is who the client said it was (`config set author`): nobody verifies it.
    """
    found = session.client().log(name, limit=results.rows_to_read(session.out, limit))
    shown = results.first_rows(session.out, found, limit)
    session.out.write_result(
        {"entries": found},
        quiet=[str(entry.position) for entry in found],
        full=Table(HEADERS, [_row(entry) for entry in shown], none=NOTHING),
    )
    results.note_more(session.out, found, limit, "log" if name is None else f"log {name}")
    tip_output(session.out, (entry.position for entry in shown if entry.action.startswith("run ")))


def _row(entry: "JournalEntry") -> list[Cell | str]:
    text = _text(entry)
    return [
        str(entry.position),
        time_cell(entry.registered_at),
        author_cell(entry.author),
        Cell(entry.action, entry.action.removeprefix("pipeline "), STYLES.get(entry.action, "")),
        _what(entry),
        Cell(text or EMPTY, shorten(text.partition("\n")[0], MAX_TEXT)),
    ]


def _what(entry: "JournalEntry") -> Cell | str:
    if entry.action == "bisected" and entry.pipeline is not None:
        culprits = " ".join(map(str, entry.versions))
        return Cell(f"{entry.pipeline} {culprits}", f"pipeline {entry.pipeline}, broken by {culprits}")
    if entry.pipeline is not None:
        return Cell(entry.pipeline, f"pipeline {entry.pipeline}")
    if entry.action.endswith(" for"):
        return " -> ".join(f"{end.op}@{end.version or 'any'}" for end in entry.versions)
    return ", ".join(format_reference(version.op, version.version) for version in entry.versions) or EMPTY


def _text(entry: "JournalEntry") -> str:
    labels = ", ".join(f"-{key}" if value is None else f"{key}={value}" for key, value in entry.labels.items())
    return "; ".join(part for part in (entry.text, labels) if part)
