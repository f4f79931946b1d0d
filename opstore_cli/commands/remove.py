"""`opstore remove`: remove versions and ops."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell
from opstore_cli.output.tables import Table
from opstore_cli.output.terminal import is_terminal
from opstore_daemon.protocol.references import Reference

INTERRUPTED = 130  # as after Ctrl-C

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_daemon.protocol.records import Removal


@command("remove")
@click.argument("references", metavar="REF...", nargs=-1, required=True, type=ReferenceType())
@click.option("--all-versions", is_flag=True, help="Remove the ops of these names with all their versions.")
@click.option("--force", is_flag=True, help="Remove also what is still needed, and say what that broke.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed and what that would break.")
@click.option("--reason", metavar="TEXT", help="Reason, shown to whoever looks for the version.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether --all-versions is meant.")
def remove(
    session: Session,
    references: Sequence[Reference],
    all_versions: bool,
    force: bool,
    dry_run: bool,
    reason: str | None,
    yes: bool,
) -> int:
    """Remove versions for good, or an op that has no versions.

    \b
    Examples:
      opstore remove pca@1.0.3
      opstore remove pca@1.0.3 pca@1.0.4 --reason "trained on the wrong columns"
      opstore remove pca@2.0.0 --dry-run
      opstore remove radnom_forest
      opstore remove pca --all-versions

    A removed version is gone from all commands; --as-of and log still show it. Its number never comes back, its links
    are revoked, and its tags are removed. Its bytes stay in the store until opstore gc. To retire a version and keep
    it: opstore yank.

    A version is refused while something needs it: a valid link between it and another op, a tag on it, or a pipeline
    that resolves to it. --dry-run lists all of these, and --force removes it all the same. Several REFs are removed
    together, or none of them.

    A name alone is the op itself, not its latest version: the op must have no versions, as after a typo, and be in no
    pipeline. --all-versions removes it with all its versions; that is confirmed at a terminal, or with --yes.

    The columns are the version, and what needed it. It takes a token with the scope admin, as the local daemon's is.
    """
    named = [reference for reference in references if not reference.bare]
    if all_versions and named:
        raise click.UsageError(f"--all-versions takes the names of ops: {named[0].op} in place of {named[0]}")
    from opstore_cli.console.pinned import pinned_by_lock

    client = session.client()
    for warning in pinned_by_lock(client, references, all_versions=all_versions, force=force or dry_run):
        session.out.warn(warning)
    if all_versions and not (yes or dry_run) and not _is_confirmed(client, references, force=force):
        session.out.note("nothing was removed", always=True)
        return INTERRUPTED
    removal = client.remove(references, all_versions=all_versions, force=force, dry_run=dry_run, reason=reason)
    removed = [*map(str, removal.removed), *removal.ops]
    headers = ("WOULD REMOVE", "WOULD BREAK") if dry_run else ("REMOVED", "BROKE")
    session.out.write_result(removal, quiet=removed, full=Table(headers, _rows(removal)))
    if not session.out.json:
        _note(session, removal, forced=force)
    return 0


def _rows(removal: "Removal") -> list[list[Cell | str]]:
    """Return a row for each version and op, and further ones for each thing that needs it."""
    needs: dict[str, list[str]] = {}
    for need in removal.broken:
        needs.setdefault(str(need.version), []).append(need.words)
    rows: list[list[Cell | str]] = []
    for name in (*map(str, removal.removed), *removal.ops):
        rows += [[name, words] for words in needs.get(name, ())] or [[name, Cell(EMPTY, "nothing")]]
    return rows


def _note(session: Session, removal: "Removal", *, forced: bool) -> None:
    from opstore_daemon.protocol.sizes import format_size

    if len(removal.broken) < removal.broken_count:
        session.out.note(f"only the first {len(removal.broken)} of {removal.broken_count} things are shown")
    if removal.dry_run and removal.broken_count and not forced:
        session.out.note("without --force, this is refused: something needs it")
    if removal.freeable:
        are = "would be" if removal.dry_run else "are"
        session.out.note(f"{format_size(removal.freeable)} {are} left to opstore gc")


def _is_confirmed(client: "OpStoreClient", references: Sequence[Reference], *, force: bool) -> bool:
    """Ask whether all versions are to be removed; raise UsageError if nobody can be asked, and StillNeeded."""
    from opstore_daemon.protocol.records.short_text import counted

    tried = client.remove(references, all_versions=True, dry_run=True)
    if tried.broken_count and not force:
        raise tried.refusal()
    if not tried.removed:
        return True
    what = f"{' and '.join(tried.ops)} with {counted(len(tried.removed), 'versions')}"
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise click.UsageError(f"--all-versions would remove {what}: to confirm it, add --yes")
    breaks = f" This breaks {counted(tried.broken_count, 'things')}." if tried.broken_count else ""
    return click.confirm(f"Remove {what}, for good?{breaks}", err=True)
