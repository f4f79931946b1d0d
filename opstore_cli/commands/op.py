"""`opstore op`: change the settings of an op."""

from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.parameters import COMPATS, OpNameType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.names import OpName

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Compat


@click.group("op", cls=Group, context_settings=HELP)
def op() -> None:
    """Set the compatibility level of an op.

    \b
    Examples:
      opstore op set pca --compat minor
    """


@command("set", group=op)
@click.argument("name", type=OpNameType())
@click.option(
    "--compat",
    required=True,
    type=click.Choice(COMPATS),
    help="Level down to which compatible versions share their version number.",
)
def set_(session: Session, name: OpName, compat: "Compat") -> None:
    """Set the compatibility level of an op. Versions that share their version number down to that level are compatible:
    if one of them is valid for a downstream op, so are the others. With major 1.0.0 and 1.4.2 are compatible, with
    minor 1.4.0 and 1.4.2, with exact no two. The level counts for verdicts from now on.

    \b
    Examples:
      opstore op set pca --compat minor
      opstore op set pca --compat exact
    """
    changed = session.client().set_compat(name, compat)
    session.out.write_result(
        changed, quiet=[changed.name], full=[f"{changed.name} has the compatibility {changed.compat}"]
    )
