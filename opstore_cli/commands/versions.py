"""`opstore versions`: list the versions of ops."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option, check_exclusive, label_filter_option, valid_for_option
from opstore_cli.console.parameters import NumberType, ReferenceType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, first_line_cell, size_cell, text_cell, time_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.labels import LabelFilter
    from opstore_daemon.protocol.records import VersionRecord, Versions
    from opstore_daemon.protocol.times import AsOf


@command("versions")
@click.argument("references", metavar="NAME...", nargs=-1, required=True, type=ReferenceType())
@valid_for_option("Only versions that are valid for this one; repeatable.")
@label_filter_option("Only versions with this label; KEY alone matches any value; repeatable.")
@click.option("--latest", is_flag=True, help="Only the newest version of each op.")
@click.option(
    "--limit",
    metavar="N",
    type=NumberType(min=1),
    help="Maximum number of versions of each op (default: 500 on a terminal).",
)
@as_of_option
def versions(
    session: Session,
    references: Sequence[Reference],
    valid_for: Sequence[Reference],
    label: "Sequence[LabelFilter]",
    latest: bool,
    limit: int | None,
    as_of: "AsOf | None",
) -> int:
    """List the versions of one or more ops, newest first. NAME@SELECTOR lists only the versions that match it.

    \b
    Examples:
      opstore versions pca
      opstore versions pca random_forest --latest
      opstore versions pca --label stage=production
      opstore versions pca@'>=1.2,<2' --limit 5
      opstore versions pca --valid-for random_forest --latest -q

    --valid-for lists only the versions that are valid for every version that you name. It reports newer versions that
    it skipped on standard error, with the reason. If no version is left, the exit code is 1, or 3 if that is only
    because links are missing.

    Off a terminal the columns are NAME@VERSION, the time of registration, the size in bytes, the digest, the tags and
    the message. With --json, several ops are a list under the key `ops`.
    """
    check_exclusive(latest=latest, limit=limit)
    limit = 1 if latest else limit
    client, most = session.client(), results.rows_to_read(session.out, limit)
    found = [
        client.versions(each, valid_for=valid_for, label=label, limit=most, as_of=as_of)
        for each in dict.fromkeys(references)
    ]
    document = found[0] if len(found) == 1 else {"ops": found}
    empty = [each for each in found if not each.versions]
    for each in found:
        results.note_skipped(session.out, each.skipped)
    if valid_for and len(empty) == len(found) == 1:
        return results.report_none_valid(session.out, found[0].op, valid_for, found[0].verdict, document, as_of)
    rows = [version for each in found for version in results.first_rows(session.out, each.versions, limit)]
    session.out.write_result(
        document,
        quiet=[format_reference(version.op, version.version) for version in rows],
        full=Table(
            ("VERSION", "REGISTERED", "SIZE", "DIGEST", "TAGS", "MESSAGE"),
            [_row(row) for row in rows],
            none=_none(label, empty),
        ),
    )
    for each in found:
        results.note_more(session.out, each.versions, limit, f"versions {each.op}")
    if not valid_for and rows and empty:
        session.out.tip(_none(label, empty))
    codes = [results.none_valid(session.out, each.op, valid_for, each.verdict, as_of) for each in empty if valid_for]
    return min(codes, default=0)


def _none(label: "Sequence[LabelFilter]", empty: "Sequence[Versions]") -> str:
    """Return a sentence about the ops without versions."""
    missing = f"version with {' and '.join(label)}" if label else "versions yet"
    return "; ".join(f"{each.op} has no {missing}" for each in empty)


def _row(version: "VersionRecord") -> list[Cell | str]:
    tags = ", ".join(version.tags)
    reference = format_reference(version.op, version.version)
    return [
        _reference_cell(version, reference),
        time_cell(version.registered_at),
        size_cell(version.size),
        Cell(version.digest or EMPTY, (version.digest or "").removeprefix("sha256:")[:12]),
        text_cell(tags),
        first_line_cell(version.message),
    ]


def _reference_cell(version: "VersionRecord", reference: str) -> Cell:
    if version.damaged:
        return Cell(reference, f"{reference} (damaged)", "red")
    return Cell(reference, f"{reference} (yanked)", "yellow") if version.yanked else Cell(reference)
