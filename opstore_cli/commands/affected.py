"""`opstore affected`: list what must be retrained for a version."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option
from opstore_cli.console.parameters import PipelineNameType, ReferenceType
from opstore_cli.console.results import EXIT_CODES
from opstore_cli.console.session import Session
from opstore_cli.output.cells import format_reference, verdict_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference


@command("affected")
@click.argument("reference", metavar="REF", type=ReferenceType())
@click.option("--pipeline", metavar="PIPELINE", type=PipelineNameType(), help="Only within this pipeline.")
@as_of_option
def affected(session: Session, reference: Reference, pipeline: PipelineName | None, as_of: str | None) -> int:
    """List what has to be retrained for a version. That is the downstream ops whose latest version it is not valid
    for, and all that are downstream of those. Direct ones come first. The exit code is 1 if there is any, else 0.

    \b
    Examples:
      opstore affected pca
      opstore affected pca@2.0.0 --pipeline churn
      opstore affected scaler -q
    """
    found = session.client().affected(reference, pipeline=pipeline, as_of=as_of)
    session.out.write_result(
        found,
        quiet=[each.op for each in found.affected],
        full=Table(
            ("OP", "VERDICT", "REASON"),
            [
                (format_reference(each.op, each.version), verdict_cell(each.verdict), each.reason)
                for each in found.affected
            ],
        ),
    )
    version = format_reference(found.version.op, found.version.version)
    if not found.affected:
        session.out.note(f"nothing has to be retrained for {version}")
    return EXIT_CODES["invalid"] if found.affected else 0
