"""`opstore graph`: draw a pipeline with its verdicts."""

from collections.abc import Sequence

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option, use_option
from opstore_cli.console.parameters import PipelineNameType
from opstore_cli.console.session import Session
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference


@command("graph")
@click.argument("pipeline", type=PipelineNameType())
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid"]), default="text", help="Output format (default: text)."
)
@use_option
@as_of_option
def graph(session: Session, pipeline: PipelineName, form: str, use: Sequence[Reference], as_of: str | None) -> None:
    """Draw a pipeline with its verdicts. Each op is a line, in the order of data flow, with its outgoing edges below
    it.

    \b
    Examples:
      opstore graph churn
      opstore graph churn --format mermaid

    -q prints the versions, one per line. The exit code is 0 whatever the verdict is; for a check, use opstore validate.
    """
    from opstore_cli.output import graph as drawing

    found = session.client().validate_pipeline(pipeline, use=use, as_of=as_of)
    if form == "mermaid" and not session.out.json:
        session.out.write_lines(drawing.draw_mermaid(found))
        return
    rows = [(line, reason) for line, reason in drawing.draw_text(found)]
    session.out.write_result(found, quiet=map(str, found.versions), full=Table(("", ""), rows))
