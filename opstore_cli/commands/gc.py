"""`opstore gc`: free the space of what no version refers to."""

from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import DurationType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, format_time, size_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.sizes import format_size

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Collection


@command("gc")
@click.option("--dry-run", is_flag=True, help="Only show what would be freed.")
@click.option(
    "--grace",
    metavar="TIME",
    type=DurationType(),
    default="1d",
    show_default=True,
    help="Keep garbage that was stored within this time (90s, 10m, 2h, 1d).",
)
@click.option("--purge", is_flag=True, help="Empty the trash now, and not after a week.")
def gc(session: Session, dry_run: bool, grace: float, purge: bool) -> int:
    """Free the space of what no version refers to: bytes of removed versions, expired uploads and what crashes left.

    \b
    Examples:
      opstore gc --dry-run
      opstore gc
      opstore gc --grace 0 --purge

    Bytes of removed versions are moved to the trash, and deleted for good a week later. Each line has what happened,
    how many things, their bytes and why. What a version needs is never touched, so pushes and pulls go on meanwhile.
    The daemon does this by itself once a day. -q prints how many bytes were freed.
    """
    found = session.client().collect_garbage(grace=grace, purge=purge, dry_run=dry_run)
    rows = [row for row in _rows(found) if not session.out.shows_tables or row[1] != "0"]
    none = "there is nothing to free"
    session.out.write_result(
        found, quiet=[str(found.freed)], full=Table(("", "COUNT", "SIZE", "REASON"), rows, none=none)
    )
    if not found.problems:
        return 0
    error = errors.CollectionIncomplete(reason="; ".join(found.problems))
    session.out.error(error)
    return error.exit_code


def _rows(found: "Collection") -> list[list[Cell | str]]:
    freed = found.uploads + found.drafts + found.purged
    return [
        [Cell("freed", "to be freed" if found.dry_run else "freed"), str(freed), size_cell(found.freed), _freed(found)],
        ["trash", str(found.trash), size_cell(found.trash_size), _in_trash(found)],
        ["kept", str(found.waiting), size_cell(found.waiting_size), _waiting(found)],
        ["quarantine", str(found.quarantine), size_cell(found.quarantine_size), _in_quarantine(found)],
        ["unfinished", str(found.unfinished), size_cell(found.unfinished_size), _unfinished(found)],
    ]


def _freed(found: "Collection") -> str:
    parts = (
        (found.purged, "deleted for good"),
        (found.uploads, "expired uploads"),
        (found.drafts, "left by crashes"),
    )
    return ", ".join(f"{count} {what}" for count, what in parts if count) or "-"


def _in_trash(found: "Collection") -> str:
    if not found.trash:
        return "-"
    moved = "" if not found.garbage else f"{found.garbage} new ({format_size(found.garbage_size)}); "
    due = "" if found.purged_at is None else f"deleted from {format_time(found.purged_at)} on; "
    return f"{moved}{due}--purge deletes it now"


def _waiting(found: "Collection") -> str:
    if not found.waiting:
        return "-"
    due = "" if found.collected_at is None else f"; due from {format_time(found.collected_at)} on"
    return f"no version refers to it, but it was stored within --grace{due}"


def _in_quarantine(found: "Collection") -> str:
    return "damaged blobs, deleted a month after fsck --repair moved them there" if found.quarantine else "-"


def _unfinished(found: "Collection") -> str:
    return "uploads that can be resumed; each expires a week after its last request" if found.unfinished else "-"
