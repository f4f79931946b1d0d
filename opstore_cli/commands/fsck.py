"""`opstore fsck`: check the store."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive
from opstore_cli.console.parameters import RateType, SubsetType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.output.document import Output
    from opstore_daemon.protocol.records import Finding, FsckPage, FsckReport

SHOWN = 3  # versions in a cell of a table


@command("fsck")
@click.option("--read-data", is_flag=True, help="Also read all blobs, and compare them with their digests.")
@click.option(
    "--read-data-subset",
    "subset",
    metavar="N/M",
    type=SubsetType(),
    help="Read the blobs of part N of M, such as 1/7; the M parts together are all blobs.",
)
@click.option("--rate", metavar="SIZE", type=RateType(), help="Maximum bytes to read per second, such as 50MB.")
@click.option("--repair", is_flag=True, help="Move damaged blobs to the quarantine, and mark damaged and missing ones.")
def fsck(session: Session, read_data: bool, subset: str | None, rate: int | None, repair: bool) -> int:
    """Check the store: its database, journal, versions, blobs and storage.

    \b
    Examples:
      opstore fsck
      opstore fsck --read-data
      opstore fsck --read-data-subset 1/7 --rate 50MB
      opstore fsck --read-data --repair

    fsck checks what is in the store, while others go on using it, and changes nothing without --repair. To find out
    why a command can't reach the store, run opstore doctor.

    Each finding has a command that helps. The exit code is 1 if there are findings. Blobs that no version needs are no
    finding: opstore gc frees them.

    --repair deletes nothing. From then on, pull, show and the page say that the versions of a marked blob are damaged.
    Push the same bytes again to heal them.

    Off a terminal the columns are the kind, what it is about, the versions, what was found and what to do, and each
    line is written as soon as it is found. -q prints what the findings are about.
    """
    check_exclusive(read_data=read_data, read_data_subset=subset)
    if rate is not None and not read_data and subset is None:
        raise click.UsageError("--rate needs --read-data or --read-data-subset: without them, no blob is read")
    out, client = session.out, session.client()
    shows_lines = not (out.json or out.shows_tables)
    found = 0

    def notify(page: "FsckPage") -> None:
        nonlocal found
        found += len(page.findings)
        if found:
            out.retitle(f"fsck, {found} findings" if found > 1 else "fsck, 1 finding")
        if shows_lines and page.findings:
            _write(out, page.findings)

    with out.progress("fsck"):
        report = client.fsck(read_data=read_data, subset=subset, rate=rate, repair=repair, notify=notify)
    if not shows_lines:
        out.write_result(report, quiet=(), full=_table(report.findings))
    _note(out, report)
    return 0 if report.clean else errors.AnswerIsNo.exit_code


def _write(out: "Output", findings: "Iterable[Finding]") -> None:
    """Write the findings of a page, so that they can be read while the check goes on."""
    out.write_result(None, quiet=[finding.what for finding in findings], full=_table(findings))
    out.flush()


def _table(findings: "Iterable[Finding]") -> Table:
    rows = [_row(finding) for finding in findings]
    return Table(("KIND", "WHAT", "VERSIONS", "FOUND", "WHAT TO DO"), rows, none="clean: there are no findings")


def _row(finding: "Finding") -> list[Cell | str]:
    is_digest = finding.what.startswith("sha256:")
    versions = [str(version) for version in finding.versions]
    more = finding.versions_count - SHOWN
    shown = ", ".join(versions[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return [
        Cell(finding.kind, finding.kind, "red"),
        Cell(finding.what, finding.what[:19] if is_digest else finding.what),
        Cell(", ".join(versions), shown),
        finding.observed + ("; it is marked as damaged" if finding.marked else ""),
        finding.advice,
    ]


def _note(out: "Output", report: "FsckReport") -> None:
    """Say what else matters of the check. With --json the document has it."""
    if out.json:
        return
    if report.more:
        out.note(f"{report.more} more findings are not listed", always=True)
    from opstore_daemon.protocol.sizes import format_size

    read = f", {format_size(report.bytes_read)} of them read" if report.bytes_read else ""
    out.tip(f"checked {report.blobs} blobs{read}")
    if report.garbage:
        out.tip(f"{report.garbage} blobs ({format_size(report.garbage_size)}) are of no version: opstore gc frees them")
