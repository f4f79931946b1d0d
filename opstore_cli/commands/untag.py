"""`opstore untag`: remove a tag."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import OpNameType, TagType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.references import TagName


@command("untag")
@click.argument("name", type=OpNameType())
@click.argument("tag", type=TagType())
def untag(session: Session, name: OpName, tag: TagName) -> None:
    """Remove a tag from an op.

    \b
    Examples:
      opstore untag pca staging

    The journal keeps its moves: opstore tags NAME --history.
    """
    session.client().untag(name, tag)
    session.out.write_result({"op": name, "tag": tag}, quiet=[], full=[])
    session.out.note(f"{name} has no tag {tag} any more")
