"""`opstore graph`: a pipeline with its verdicts."""

from collections.abc import Sequence

import click

from opstore_cli import arguments
from opstore_cli.context import Session, command
from opstore_cli.output import Table


@command("graph")
@click.argument("pipeline", callback=arguments.name)
@click.option("--format", "form", type=click.Choice(["text", "mermaid"]), default="text", help="How (default: text).")
@arguments.use_option
@arguments.as_of_option
def graph(session: Session, pipeline: str, form: str, use: Sequence[str], as_of: str | None) -> None:
    """Draw a pipeline with its verdicts. Each op of the pipeline is a line, in the order of the data, and below it are
    the edges that lead on from it, each with its verdict in words.

    \b
    Examples:
      opstore graph churn
      opstore graph churn --format mermaid
    """
    from opstore_cli import drawing

    found = session.client().validate_pipeline(pipeline, use=use, as_of=as_of)
    if form == "mermaid" and not session.out.json:
        session.out.lines(drawing.as_mermaid(found))
        return
    rows = [(line, reason) for line, reason in drawing.as_text(found)]
    session.out.answer(found, quiet=[line.plain for line, _ in rows], full=Table(("", ""), rows))
