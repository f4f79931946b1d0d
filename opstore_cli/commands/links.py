"""`opstore links`: list the links in force."""

from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option
from opstore_cli.console.parameters import OpNameType
from opstore_cli.console.run_texts import tip_output
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, text_cell, time_cell, verdict_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.names import OpName

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import LinkRecord


@command("links")
@click.argument("name", required=False, type=OpNameType())
@as_of_option
def links(session: Session, name: OpName | None, as_of: str | None) -> None:
    """List the links in force, newest first. NAME lists only the links of that op, in both directions.

    \b
    Examples:
      opstore links
      opstore links pca
      opstore links random_forest --json

    The columns are the upstream version, the downstream version (NAME@any: any version), valid or invalid, the time and
    the evidence. The evidence of a link that `opstore verify` recorded begins with the run: `opstore runs --output RUN`
    prints what it printed.
    """
    found = session.client().links(name, as_of=as_of)
    session.out.write_result(
        {"links": found},
        quiet=[" ".join(results.format_link(link)[:2]) for link in found],
        full=Table(("UPSTREAM", "DOWNSTREAM", "VERDICT", "SINCE", "EVIDENCE"), [_row(link) for link in found]),
    )
    tip_output(session.out, (link.run for link in found))


def _row(link: "LinkRecord") -> list[Cell | str]:
    upstream, downstream, _ = results.format_link(link)
    word = verdict_cell("valid" if link.valid else "invalid")
    return [upstream, downstream, word, time_cell(link.registered_at), text_cell(link.evidence)]
