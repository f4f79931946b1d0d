"""`opstore versions`: list the versions of an op."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option, check_exclusive, valid_for_option
from opstore_cli.console.parameters import NumberType, ReferenceType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, format_reference, size_cell, text_cell, time_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import VersionRecord
    from opstore_daemon.protocol.times import AsOf


@command("versions")
@click.argument("reference", metavar="NAME", type=ReferenceType())
@valid_for_option("Only versions that are valid for this one; repeatable.")
@click.option("--latest", is_flag=True, help="Only the first.")
@click.option("--limit", metavar="N", type=NumberType(min=1), help="Maximum number of versions.")
@as_of_option
def versions(
    session: Session,
    reference: Reference,
    valid_for: Sequence[Reference],
    latest: bool,
    limit: int | None,
    as_of: "AsOf | None",
) -> int:
    """List the versions of an op, newest first. NAME@SELECTOR lists only what the selector admits. With --valid-for
    they are those that are valid for all that you name, and newer ones that are not are named on standard error with
    the reason; where nothing is left the exit code is 1, or 3 where no link says so either way.

    Off a terminal the columns are NAME@VERSION, the time of the registration, the size in bytes, the digest, the tags
    and the message.

    \b
    Examples:
      opstore versions pca
      opstore versions pca@'>=1.2,<2' --limit 5
      opstore versions pca --valid-for random_forest --latest -q
    """
    check_exclusive(latest=latest, limit=limit)
    found = session.client().versions(reference, valid_for=valid_for, limit=1 if latest else limit, as_of=as_of)
    results.note_skipped(session.out, found.skipped)
    if valid_for and not found.versions:
        return results.report_none_valid(session.out, found.op, valid_for, found.verdict, found, as_of)
    session.out.write_result(
        found,
        quiet=[format_reference(version.op, version.version) for version in found.versions],
        full=Table(
            ("VERSION", "REGISTERED", "SIZE", "DIGEST", "TAGS", "MESSAGE"), [_row(row) for row in found.versions]
        ),
    )
    return 0


def _row(version: "VersionRecord") -> list[Cell | str]:
    tags = ", ".join(version.tags)
    reference = format_reference(version.op, version.version)
    return [
        Cell(reference, f"{reference} (yanked)", "yellow") if version.yanked else reference,
        time_cell(version.registered_at),
        size_cell(version.size),
        Cell(version.digest or EMPTY, (version.digest or "").removeprefix("sha256:")[:12]),
        text_cell(tags),
        Cell(version.message or EMPTY, (version.message or "").partition("\n")[0]),
    ]
