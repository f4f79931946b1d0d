"""`opstore op`: change the settings and the description of an op."""

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
    """Set the compatibility level and the description of an op.

    \b
    Examples:
      opstore op set pca --compat minor
      opstore op set pca --description "50 components of the customer features"
    """


@command("set", group=op)
@click.argument("name", type=OpNameType())
@click.option(
    "--compat",
    type=click.Choice(COMPATS),
    help="Level down to which compatible versions share their version number.",
)
@click.option("--description", metavar="TEXT", help="What the op is for; an empty text removes the description.")
def set_(session: Session, name: OpName, compat: "Compat | None", description: str | None) -> None:
    """Set the compatibility level and the description of an op. `opstore ops` lists both.

    \b
    Examples:
      opstore op set tokenizer --compat major
      opstore op set pca --compat exact
      opstore op set pca --description "50 components of the customer features"

    If one version is valid for a downstream op, so are all versions that are compatible with it. Compatible versions
    share their version number down to the level: with major, 1.0.0 and 1.4.2 are compatible; with minor, 1.4.0 and
    1.4.2; with exact, the default, no two versions are.

    Use major only if the major subversion says all that downstream ops rely on (see docs/rules.md). A new level applies
    to verdicts from now on; --as-of shows earlier ones.
    """
    if compat is None and description is None:
        raise click.UsageError("nothing to set: give --compat LEVEL or --description TEXT")
    changed = session.client().set_op(name, compat=compat, description=description)
    lines = []
    if compat is not None:
        lines.append(f"{changed.name} has the compatibility {changed.compat}")
    if description is not None:
        described = f"the description {changed.description!r}" if changed.description else "no description"
        lines.append(f"{changed.name} has {described}")
    session.out.write_result(changed, quiet=[changed.name], full=lines)
