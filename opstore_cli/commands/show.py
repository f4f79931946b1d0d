"""`opstore show`: show everything about one version."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.run_texts import run_cell
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, format_time, key_cell, size_cell, time_cell, verdict_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, VersionDetails


@command("show")
@click.argument("reference", metavar="REF", type=ReferenceType())
@as_of_option
def show(session: Session, reference: Reference, as_of: str | None) -> None:
    """Show everything about a version: its size, age, tags and message, the verdicts with its neighbours, and its
    hashes. REF is NAME (the latest version) or NAME@SELECTOR.

    \b
    Examples:
      opstore show pca
      opstore show pca@1.0.0 --json
      opstore show pca@sha256:9f86d081

    "latest of" lists the references that select this version as the newest. The verdicts are those with the latest
    versions of the ops that a link or a pipeline connects it to. The runs are the newest ones of commands on this
    version; `opstore runs --output RUN` prints what one printed.

    Off a terminal each line is a key and its value. Each label, library, verdict and run has a line of its own.
    """
    found = session.client().details(reference, as_of=as_of)
    version = found.version
    surroundings = {key: value for key, value in results.to_dict(found).items() if key != "version"}
    session.out.write_result(
        results.to_dict(version) | surroundings,
        quiet=[format_reference(version.op, version.version)],
        full=Table(("", ""), [(key_cell(key), value) for key, value in _rows(found)]),
    )


def _rows(found: "VersionDetails") -> Iterator[tuple[str, Cell]]:
    version = found.version
    yield "op", Cell(version.op)
    yield "version", Cell(version.version)
    yield "yanked", Cell("yes", "yes", "yellow") if version.yanked else Cell("no")
    yield from _lines("yank_reason", version.yank_reason)
    if version.damaged:
        yield "damaged", Cell(str(version.damaged), f"{version.damaged}; opstore fsck says what to do", "red")
    yield "size", _exact_size(version.size)
    yield "registered_at", _exact_time(version.registered_at)
    yield "author", Cell(version.author or EMPTY, version.author or "unknown")
    yield "tags", _joined(version.tags)
    yield "latest_of", _joined(found.latest_of)
    yield from _lines("message", version.message)
    for key, value in sorted(version.labels.items()):
        yield "label", Cell(f"{key}={value}")
    yield from _surroundings(found)
    yield from _lines("description", found.description)
    if version.filename is not None:
        yield "filename", Cell(version.filename)
    if version.executable:
        yield "executable", Cell("yes")
    if version.format is not None:
        yield "format", Cell(version.format)
    for key, value in sorted(version.libraries.items()):
        yield "library", Cell(f"{key} {value}")
    yield from _lines("note", version.note)
    yield "sequence", Cell(str(version.sequence))
    yield "position", Cell(str(version.position))
    yield "subversions", Cell(version.subversions)
    yield "digest", Cell(version.digest or EMPTY, version.digest or "not stored")


def _surroundings(found: "VersionDetails") -> Iterator[tuple[str, Cell]]:
    """Yield the verdicts with the neighbours of the version, and the newest runs with it."""
    for edge in found.upstreams:
        yield "upstream", _verdict(edge, edge.upstream)
    for edge in found.downstreams:
        yield "downstream", _verdict(edge, edge.downstream)
    for run in found.runs:
        yield "run", run_cell(run)


def _joined(names: Sequence[str]) -> Cell:
    return Cell(", ".join(names) or EMPTY, ", ".join(names) or "none")


def _verdict(edge: "EdgeVerdict", other: "OpVersion") -> Cell:
    rest = f"{format_reference(other.op, other.version)}: {edge.reason}"
    mark = verdict_cell(edge.verdict, edge.basis)
    return Cell(f"{mark.plain} {rest}", f"{mark.for_people()} {rest}", mark.style)


def _exact_time(moment: datetime) -> Cell:
    cell = time_cell(moment)
    exact = format_time(moment)
    return Cell(exact, f"{cell.pretty} ({exact})" if cell.for_people() not in exact else exact)


def _exact_size(count: int | None) -> Cell:
    cell = size_cell(count)
    if count is None or count < 1000:
        return cell
    return Cell(cell.plain, f"{cell.pretty} ({count} bytes)")


def _lines(key: str, text: str | None) -> Iterator[tuple[str, Cell]]:
    if text:
        # One row for each line: `escape_controls` would write the line breaks as \n.
        for position, line in enumerate(text.splitlines()):
            yield (key if position == 0 else ""), Cell(line)
