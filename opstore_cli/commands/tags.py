"""`opstore tags`: list the tags and their history."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option
from opstore_cli.console.parameters import OpNameType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, time_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.reference_text import format_reference


@command("tags")
@click.argument("name", required=False, type=OpNameType())
@click.option("--history", is_flag=True, help="List every move, also of tags that were removed.")
@as_of_option
def tags(session: Session, name: OpName | None, history: bool, as_of: str | None) -> None:
    """List the tags of all ops, or of one op, newest first.

    \b
    Examples:
      opstore tags
      opstore tags pca --history
      opstore tags --as-of 2026-03-01

    The columns are the version, NAME@TAG and the time since when the tag is there. With --history each move of a tag is
    a line; the version of a tag that was removed is `-` off a terminal.
    """
    found = session.client().tags(name, history=history, as_of=as_of)
    session.out.write_result(
        {"tags": found},
        quiet=[f"{each.op}@{each.tag}" for each in found],
        full=Table(
            ("VERSION", "TAG", "SINCE"),
            [
                (
                    format_reference(each.op, each.version) if each.version else Cell(EMPTY, "(removed)"),
                    f"{each.op}@{each.tag}",
                    time_cell(each.registered_at),
                )
                for each in found
            ],
        ),
    )
