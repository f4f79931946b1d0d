"""Sentences and cells about runs, which several commands show."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from opstore_cli.output.cells import Cell, command_cell, format_time, result_cell, time_cell
from opstore_daemon.protocol.durations import format_duration

if TYPE_CHECKING:
    from opstore_cli.output.document import Output
    from opstore_daemon.protocol.records import RunRecord, Validation
    from opstore_daemon.protocol.references import Reference

MAX_REASON = 200  # characters of what decided a run, in a sentence
MAX_COMMAND = 60  # characters of a command beside other facts
READ_OUTPUT = "opstore runs --output"


def describe_set(found: "Validation", use: "Sequence[Reference]" = (), as_of: object = None) -> str:
    """Return the sentence that says whether exactly the versions of a pipeline's verdict were run together.

    Unless it is about a past state, it ends with what to do next.
    """
    from opstore_daemon.protocol.records.runs import outcome_text

    missing = [version.op for version in found.versions if version.version is None]
    if missing:
        return f"{missing[0]} has no version, so the pipeline can't be run"
    run = found.run
    if run is None:
        used = "".join(f" --use {shlex.quote(str(reference))}" for reference in use)
        advice = "" if as_of is not None else f": opstore verify {found.pipeline}{used} --run CMD"
        return f"no run says whether exactly these versions work together{advice}"
    outcome = outcome_text(run)
    return outcome if run.result == "passed" else f"{outcome}: {READ_OUTPUT} {run.position}"


def tip_output(out: "Output", runs: Iterable[int | None]) -> None:
    """Say on a terminal how to read what a run printed, if there is one: they are newest first."""
    newest = next((run for run in runs if run is not None), None)
    if newest is not None:
        out.tip(f"what a run printed: {READ_OUTPUT} {newest}")


def facts(run: "RunRecord") -> Iterator[str]:
    """Yield sentences about a run: its command and result, its versions, and where it ran."""
    from opstore_daemon.protocol.records.runs import command_text
    from opstore_daemon.protocol.records.short_text import one_line

    times = "" if run.repeat == 1 else f"{run.repeat} times, "
    reason, took = one_line(run.reason, MAX_REASON), format_duration(run.duration)
    yield f"run {run.position} of {run.pipeline} {run.result}: {command_text(run.command)} ({reason}, {times}{took})"
    yield f"its versions: {' '.join(map(str, run.versions))}"
    author = "" if run.author is None else f" by {run.author}"
    yield f"recorded at {format_time(run.registered_at)}{author}"
    if run.script is not None:
        yield f"script: {run.script_path or 'unnamed'} {run.script}"
    if run.commit is not None:
        yield f"commit: {run.commit}"
    if run.ci_url is not None:
        yield f"CI: {run.ci_url}"


def run_cell(run: "RunRecord") -> Cell:
    """Return a cell with a run in short: its number, result, command and time."""
    result, when = result_cell(run.result), time_cell(run.registered_at)
    command = command_cell(run.command, MAX_COMMAND)
    plain = f"{run.position} {result.plain} {when.plain} {command.plain}"
    return Cell(plain, f"{run.position} {result.for_people()}: {command.for_people()} ({when.pretty})", result.style)
