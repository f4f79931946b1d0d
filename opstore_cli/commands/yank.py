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
    "--reason", metavar="TEXT", required=True, help="Why: a warning for those who select it by its version number."
)
def yank(session: Session, reference: Reference, reason: str) -> None:
    """Yank a version. Nothing picks it any more but its version number, its digest, its subversions or a lock, and then
    with a warning. It stays where it is, its bytes too, and no verdict changes.

    \b
    Examples:
      opstore yank pca@2.0.0 --reason "trained on the wrong columns"
    """
    yanked = session.client().yank(reference, reason)
    name = format_reference(yanked.op, yanked.version)
    session.out.write_result(yanked, quiet=[name], full=[f"{name} is yanked: {reason}"])
