"""`opstore unyank`: undo a yank."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference


@command("unyank")
@click.argument("reference", metavar="REF", type=ReferenceType())
def unyank(session: Session, reference: Reference) -> None:
    """Undo a yank. REF is a version number, a digest or subversions, since nothing else selects a yanked version.

    \b
    Examples:
      opstore unyank pca@2.0.0
    """
    version = session.client().unyank(reference)
    name = format_reference(version.op, version.version)
    session.out.write_result(version, quiet=[name], full=[f"{name} is not yanked"])
