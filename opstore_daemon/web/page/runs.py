"""The runs of commands on versions: a list of them, and one with its output."""

import shlex
from typing import Annotated
from urllib.parse import urlsplit

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.output_lines import output_lines
from opstore_daemon.protocol.records import RunRecord, RunResult
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.looks import RESULTS
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.request_values import MAX_INTEGER, parse_run

ROWS = 50
MAX_USED = 8  # versions that a command names


class RunsQuery(AsOf, frozen=True, kw_only=True):
    """Which runs to list."""

    below: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="List only runs below this position.")] | None = None
    pipeline: Annotated[str, Meta(description="List only runs of this pipeline.")] = ""
    reference: Annotated[str, Meta(description="List only runs with the version of this reference.")] = ""
    result: Annotated[str, Meta(description="List only runs with this result.")] = ""


def list_runs(_api: Api, query: RunsQuery) -> Response:
    """Show runs, newest first."""
    name, reference = query.pipeline.strip(), query.reference.strip()
    result: RunResult | None = next((word for word in RESULTS if word == query.result), None)
    runs: tuple[RunRecord, ...] = ()
    problem = ""
    try:
        found = store().runs_page(
            name or None, query.below, ROWS, version=reference or None, result=result, as_of=query.value
        )
        runs = found.runs
    except (errors.NotFound, errors.Refused) as error:  # the form is still there to correct it
        problem = error.text
    return page(
        "runs.html",
        query,
        "Pipelines",
        runs=runs,
        name=name,
        reference=reference,
        chosen=result or "",
        results=list(RESULTS),
        problem=problem,
        below=query.below,
        full=len(runs) == ROWS,
    )


def run(_api: Api, run: str, query: AsOf) -> Response:
    """Show a run: the command and its result, the versions, and what it printed."""
    position = parse_run(run)
    found = store().run(position, as_of=query.value)
    output = store().run_output(position)
    return page(
        "run.html",
        query,
        "Pipelines",
        run=found,
        command=shlex.join(found.command),
        validate=_validate(found),
        output="\n".join(output_lines(output)),
        is_cut=len(output.encode()) < found.output_size,
        is_web_address=found.ci_url is not None and is_web_address(found.ci_url),
    )


def _validate(run: RunRecord) -> str:
    """Return the command that validates the versions of a run; of many it names none."""
    used = "".join(f" --use {version}" for version in run.versions) if len(run.versions) <= MAX_USED else ""
    return f"opstore validate {run.pipeline}{used} --exact-set"


def is_web_address(text: str) -> bool:
    """Return whether a text of a user is a link that a browser may follow: others, such as `javascript:`, run code."""
    if not text.isprintable() or any(each.isspace() for each in text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
