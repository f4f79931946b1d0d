"""`opstore yank`: exclude a version from selection."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference


@command("yank")
@click.argument("reference", metavar="REF", type=ReferenceType())
@click.option(
    "--reason", metavar="TEXT", required=True, help="Reason, shown to whoever selects the version by its number."
)
def yank(session: Session, reference: Reference, reason: str) -> None:
    """Retire a version: only its version number, its digest, its subversions or a lock select it, with a warning.

    \b
    Examples:
      opstore yank pca@2.0.0 --reason "trained on the wrong columns"

    The version keeps its bytes and its links, and no verdict changes. To undo: opstore unyank REF.
    """
    yanked = session.client().yank(reference, reason)
    name = format_reference(yanked.op, yanked.version)
    session.out.write_result(yanked, quiet=[name], full=[f"{name} is yanked: {reason}"])
