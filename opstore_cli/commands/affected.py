"""`opstore affected`: list what must be retrained for a version."""

from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option
from opstore_cli.console.parameters import PipelineNameType, ReferenceType
from opstore_cli.console.results import EXIT_CODES
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, verdict_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import AffectedOp


@command("affected")
@click.argument("reference", metavar="REF", type=ReferenceType())
@click.option("--pipeline", metavar="PIPELINE", type=PipelineNameType(), help="Only ops of this pipeline.")
@as_of_option
def affected(session: Session, reference: Reference, pipeline: PipelineName | None, as_of: str | None) -> int:
    """List the ops to retrain for a version: the downstream ops whose latest version it is not valid for, and all ops
    downstream of those.

    \b
    Examples:
      opstore affected pca
      opstore affected pca@2.0.0 --pipeline churn
      opstore affected scaler -q

    Direct downstream ops come first. The exit code is 1 if there is anything to retrain.
    """
    found = session.client().affected(reference, pipeline=pipeline, as_of=as_of)
    version = format_reference(found.version.op, found.version.version)
    none = f"nothing has to be retrained for {version}"
    rows = [_row(each) for each in found.affected]
    session.out.write_result(
        found,
        quiet=[each.op for each in found.affected],
        full=Table(("OP", "VERDICT", "BASIS", "REASON"), rows, none=none),
    )
    return EXIT_CODES["invalid"] if found.affected else 0


def _row(affected: "AffectedOp") -> list[Cell | str]:
    verdict = verdict_cell(affected.verdict, affected.basis)
    return [format_reference(affected.op, affected.version), verdict, affected.basis, affected.reason]
