"""`opstore unlink`: revoke a link."""

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.references import Reference


@command("unlink")
@click.argument("upstream", metavar="UP[@SEL]", type=ReferenceType())
@click.argument("downstream", metavar="DOWN[@SEL]", type=ReferenceType())
def unlink(session: Session, upstream: Reference, downstream: Reference) -> None:
    """Revoke a link between two versions. A name alone is its latest version, and DOWN@any is the link to any version
    of DOWN.

    \b
    Examples:
      opstore unlink pca@1.0.0 random_forest@2.0.0
      opstore unlink tokenizer@1.0.0 random_forest@any

    If there is no such link, the error lists the links between the two ops.
    """
    revoked = session.client().unlink(upstream, downstream)
    up, down, sentence = results.format_link(revoked)
    session.out.write_result(revoked, quiet=[f"{up} {down}"], full=[f"revoked: {sentence}"])
