"""`opstore runs`: list the runs of commands on the versions of a pipeline, and print what one printed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive
from opstore_cli.console.parameters import NumberType, PipelineNameType, ReferenceType, RunType
from opstore_cli.console.run_texts import facts, tip_output
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, author_cell, command_cell, result_cell, time_cell
from opstore_cli.output.tables import Table
from opstore_cli.output.width import shorten
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.durations import format_duration
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import RunRecord, RunResult

HEADERS = ("RUN", "WHEN", "RESULT", "COMMAND", "SET", "TOOK", "AUTHOR", "PIPELINE")
MAX_SET = 160  # columns of the versions on a terminal
RESULTS = ("passed", "failed", "unknown")


@command("runs")
@click.argument("pipeline", required=False, type=PipelineNameType())
@click.option("--result", type=click.Choice(RESULTS), help="Only runs with this result.")
@click.option("--reference", metavar="REF", type=ReferenceType(), help="Only runs with this version.")
@click.option(
    "--limit", metavar="N", type=NumberType(min=1), help="Maximum number of runs (default: 500 on a terminal)."
)
@click.option("--output", metavar="RUN", type=RunType(), help="Print what this run printed.")
def runs(
    session: Session,
    pipeline: PipelineName | None,
    result: "RunResult | None",
    reference: Reference | None,
    limit: int | None,
    output: int | None,
) -> None:
    """List the runs of commands on the versions of a pipeline, newest first. Without PIPELINE, list those of all
    pipelines.

    \b
    Examples:
      opstore runs churn
      opstore runs churn --result failed
      opstore runs --reference pca@1.0.1 --limit 5
      opstore runs --output 45

    `opstore verify` and `opstore bisect` record runs. The result is passed (exit code 0), unknown (the command can't
    tell, exit code 125) or failed. A run is named by its position in the journal.

    --output prints what the command printed, and below it, on standard error, the facts of the run. Control characters
    except tabs are shown as escapes such as \\x1b. Of a long output the store keeps the beginning and the end. --json
    has the kept output unchanged.

    Off a terminal the columns are the run, the time, the result, the command, its versions, the duration in seconds,
    the author and the pipeline.
    """
    if output is not None:
        check_exclusive(output=output, result=result, reference=reference is not None, limit=limit)
        if pipeline is not None:
            raise click.UsageError("--output takes the number of one run: leave out PIPELINE")
        _print_output(session, output)
        return
    most = results.rows_to_read(session.out, limit)
    try:
        found = session.client().runs(pipeline, version=reference, result=result, limit=most)
    except errors.PipelineNotFound as error:
        if pipeline is not None and pipeline.isdecimal():
            error.advice = f"to print what run {pipeline} printed: opstore runs --output {pipeline}"
        raise
    shown = results.first_rows(session.out, found, limit)
    session.out.write_result(
        {"runs": found},
        quiet=[str(run.position) for run in found],
        full=_table(session, pipeline, shown, none=_none(pipeline, result, reference)),
    )
    results.note_more(session.out, found, limit, "runs" if pipeline is None else f"runs {pipeline}")
    tip_output(session.out, (run.position for run in shown))


def _table(session: Session, pipeline: PipelineName | None, shown: "Sequence[RunRecord]", none: str) -> Table:
    """Return the table of the runs; a person sees no column with the pipeline that they named."""
    columns = len(HEADERS) - (pipeline is not None and session.out.shows_tables)
    return Table(HEADERS[:columns], [_row(run)[:columns] for run in shown], none)


def _row(run: "RunRecord") -> list[Cell | str]:
    versions = " ".join(map(str, run.versions))
    return [
        str(run.position),
        time_cell(run.registered_at),
        result_cell(run.result),
        command_cell(run.command),
        Cell(versions, shorten(versions, MAX_SET)),
        Cell(str(run.duration), format_duration(run.duration)),
        author_cell(run.author),
        run.pipeline,
    ]


def _none(pipeline: PipelineName | None, result: str | None, reference: Reference | None) -> str:
    """Return a sentence that says which runs there are none of."""
    which = "".join(
        (
            "no runs",
            f" of {pipeline}" if pipeline is not None else "",
            f" with {reference}" if reference is not None else "",
            f" with the result {result}" if result is not None else "",
        )
    )
    return f"{which} yet: opstore verify {pipeline or 'PIPELINE'} --run CMD"


def _print_output(session: Session, position: int) -> None:
    from opstore_daemon.protocol.output_lines import output_lines
    from opstore_daemon.protocol.sizes import format_size

    client = session.client()
    run, output = client.run(position), client.run_output(position)
    if session.out.json:
        session.out.write_json(results.to_dict(run) | {"output": output})
        return
    session.out.write_text(output_lines(output))
    if not run.output_size:
        session.out.note(f"run {position} printed nothing")
    elif len(output.encode()) < run.output_size:
        session.out.note(f"run {position} printed {format_size(run.output_size)}: its beginning and its end are kept")
    for fact in facts(run):
        session.out.note(fact)
