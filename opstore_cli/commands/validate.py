"""`opstore validate`: show the verdict of a pipeline or of one edge."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option, check_exclusive, use_option
from opstore_cli.console.parameters import DurationType, PipelineOrReferenceType
from opstore_cli.console.run_texts import describe_set
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, verdict_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Validation

EXACT_SET = "exactly these versions"  # in the column of the edges


@command("validate")
@click.argument("subject", metavar="(PIPELINE | UP[@SEL] DOWN[@SEL])", nargs=-1, type=PipelineOrReferenceType())
@use_option
@click.option(
    "--exact-set", is_flag=True, help="Also require that the newest run of exactly these versions together passed."
)
@click.option("--allow-unknown", is_flag=True, help="Exit 0 even if the verdict is unknown.")
@click.option(
    "--wait",
    metavar="TIME",
    type=DurationType(),
    help="Wait up to this time (90s, 10m, 1h) until the verdict is valid or known-invalid.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown"]),
    default="table",
    help="Output format (default: table).",
)
@click.option("--env", is_flag=True, help="Compare the versions' libraries with those of the Python that runs opstore.")
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Compare the versions' libraries with those in FILE, such as requirements.txt, uv.lock or pylock.toml.",
)
@as_of_option
def validate(
    session: Session,
    subject: tuple[Reference, ...],
    use: Sequence[Reference],
    exact_set: bool,
    allow_unknown: bool,
    wait: float | None,
    form: str,
    env: bool,
    env_file: Path | None,
    as_of: str | None,
) -> int:
    """Show whether versions are valid together: the latest versions of a pipeline, or two versions. Without arguments,
    validate the pipeline that opstore.toml or pyproject.toml names.

    \b
    Examples:
      opstore validate churn
      opstore validate churn --use pca@1.0.0
      opstore validate pca@1.0.0 random_forest@2.0.0
      opstore validate churn --exact-set
      opstore validate churn --allow-unknown -q
      opstore validate churn --wait 10m
      opstore validate churn --format markdown
      opstore validate churn --env-file requirements.txt

    The exit code is 0 for valid, 1 for invalid and 3 for unknown. A pipeline is invalid if any of its edges is, else
    unknown if any is.

    Each edge is listed with its verdict, the basis and the reason. The basis is the rule that decided: link or
    compatible (valid), known-invalid (somebody recorded that it fails), not-validated (only other versions were
    validated), no-links or no-version (unknown).

    Pairs that were validated in different runs can make a pipeline valid whose versions never ran together. The last
    line says whether exactly these versions did (`opstore verify` runs them). With --exact-set that counts too, as one
    more row: its basis is run (the newest run of them passed), run-failed (invalid) or not-run (unknown).

    --env and --env-file compare the libraries that the versions were saved with, and list each difference as an edge to
    environment, with the basis environment. It is invalid if a library that the format of the version needs has another
    major or minor version, or is missing, and unknown if FILE leaves the version open. Any other difference is only a
    warning, which does not change the verdict. --env is about the Python that runs opstore: install opstore where the
    versions are loaded.

    --wait polls until the pipeline is valid or an edge is known-invalid, or with --exact-set until a run fails. An edge
    that is only not-validated may still become valid, so it keeps waiting.
    """
    check_exclusive(wait=wait, as_of=as_of)
    check_exclusive(env=env, env_file=env_file)
    found = _validate(session, subject, use, exact_set, wait, as_of, env_file or env)
    if form == "markdown" and not session.out.json:
        from opstore_cli.output import graph

        session.out.write_lines(graph.draw_markdown(found, found.pipeline or results.format_edge(found.edges[0])))
        return _code(found.verdict, allow_unknown)
    rows: list[tuple[str, Cell, str, str]] = [
        (results.format_edge(edge), verdict_cell(edge.verdict, edge.basis), edge.basis, edge.reason)
        for edge in found.edges
    ]
    if found.exact_set is not None:
        whole = found.exact_set
        rows.append((EXACT_SET, verdict_cell(whole.verdict, whole.basis), whole.basis, whole.reason))
    session.out.write_result(found, quiet=[found.verdict], full=Table(("EDGE", "VERDICT", "BASIS", "REASON"), rows))
    if env and not session.out.json and any(edge.basis == "environment" for edge in found.edges):
        session.out.note(f"--env is about {sys.executable}; --env-file FILE compares what a deployment installs")
    if found.uncompared and not session.out.json:
        session.out.note(f"not compared, as they record no libraries: {', '.join(map(str, found.uncompared))}")
    if not session.out.json and found.pipeline is not None:
        session.out.note(f"the pipeline {found.pipeline} is {results.VERDICTS[found.verdict]}")
        session.out.note(describe_set(found, use, as_of))
    elif found.pipeline is None:
        _note_swapped(session, found, as_of)
    return _code(found.verdict, allow_unknown)


def _code(verdict: str, allow_unknown: bool) -> int:
    return 0 if allow_unknown and verdict == "unknown" else results.EXIT_CODES[verdict]


def _validate(
    session: Session,
    subject: tuple[Reference, ...],
    use: Sequence[Reference],
    exact_set: bool,
    wait: float | None,
    as_of: str | None,
    environment: bool | Path,
) -> "Validation":
    settings = session.settings()
    if not subject and settings.pipeline is not None:
        subject = (Reference.parse(settings.pipeline),)
    _check(subject, use, exact_set)
    client = session.client(settings)
    if wait is not None:

        def notify(found: "Validation") -> None:
            session.out.note(f"{' -> '.join(map(str, subject))} is {results.VERDICTS[found.verdict]}")

        return client.wait(*subject, seconds=wait, use=use, exact_set=exact_set, notify=notify, environment=environment)
    if len(subject) == 1:
        name = PipelineName(subject[0].op)
        return client.validate_pipeline(name, use=use, as_of=as_of, exact_set=exact_set, environment=environment)
    return client.validate(*subject, as_of=as_of, environment=environment)


def _note_swapped(session: Session, found: "Validation", as_of: str | None) -> None:
    """Note that the links of an edge go the other way, if they do: its ends may have been swapped."""
    up, down = found.edges[0].upstream, found.edges[0].downstream
    if found.edges[0].basis == "no-links" and session.client().links(
        upstream=down.op, downstream=up.op, limit=1, as_of=as_of
    ):
        session.out.note(f"there are links from {down.op} to {up.op}: opstore validate {down} {up}")


def _check(subject: tuple[Reference, ...], use: Sequence[Reference], exact_set: bool) -> None:
    if not subject:
        raise click.UsageError("give a pipeline, or an upstream and a downstream version")
    if len(subject) > 2:
        raise click.UsageError("give one pipeline, or one upstream and one downstream version")
    if len(subject) == 1 and not subject[0].bare:
        raise click.UsageError(f"{subject[0]} is one version: give the downstream op or version too")
    if len(subject) == 2 and use:
        raise click.UsageError("--use is for a pipeline: give the version in the reference, as in pca@1.0.0")
    if len(subject) == 2 and exact_set:
        raise click.UsageError("--exact-set is for a pipeline: only all its versions together are run")
