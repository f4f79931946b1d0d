"""`opstore show`: show everything about one version."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, format_reference, format_time, size_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import VersionRecord


@command("show")
@click.argument("reference", metavar="REF", type=ReferenceType())
@as_of_option
def show(session: Session, reference: Reference, as_of: str | None) -> None:
    """Show all that is known of one version. REF is NAME (its latest version) or NAME@SELECTOR.

    Off a terminal each line is a key and its value; a label is a line of its own.

    \b
    Examples:
      opstore show pca
      opstore show pca@1.0.0 --json
      opstore show pca@sha256:9f86d081
    """
    version = session.client().show(reference, as_of=as_of)
    session.out.write_result(
        version, quiet=[format_reference(version.op, version.version)], full=Table(("", ""), list(_rows(version)))
    )


def _rows(version: "VersionRecord") -> Iterator[tuple[str, Cell]]:
    yield "op", Cell(version.op)
    yield "version", Cell(version.version)
    yield "subversions", Cell(version.subversions)
    yield "sequence", Cell(str(version.sequence))
    yield "digest", Cell(version.digest or EMPTY, version.digest or "not stored")
    yield "size", _exact_size(version.size)
    yield "registered_at", Cell(format_time(version.registered_at))
    yield "yanked", Cell("yes" if version.yanked else "no")
    yield from _lines("yank_reason", version.yank_reason)
    yield "tags", Cell(", ".join(version.tags) or EMPTY)
    if version.format is not None:
        yield "format", Cell(version.format)
    for key, value in sorted(version.libraries.items()):
        yield "library", Cell(f"{key} {value}")
    for key, value in sorted(version.labels.items()):
        yield "label", Cell(f"{key}={value}")
    yield from _lines("message", version.message)
    yield from _lines("note", version.note)


def _exact_size(count: int | None) -> Cell:
    cell = size_cell(count)
    return cell if count is None else Cell(cell.plain, f"{cell.pretty} ({count} bytes)")


def _lines(key: str, text: str | None) -> Iterator[tuple[str, Cell]]:
    if text:
        # One row for each line: `escape_controls` would write the line breaks as \n.
        for position, line in enumerate(text.splitlines()):
            yield (key if position == 0 else ""), Cell(line)
