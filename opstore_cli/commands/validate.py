"""`opstore validate`: the verdict for a pipeline, or for one edge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli import answers, arguments
from opstore_cli.context import Session, command
from opstore_cli.output import Table, verdict

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Validation


@command("validate")
@click.argument("asked", metavar="(PIPELINE | UP[@SEL] DOWN[@SEL])", nargs=-1, callback=arguments.reference)
@click.option(
    "--use",
    metavar="REF",
    multiple=True,
    callback=arguments.reference,
    help="As if this version were the latest of its op; repeatable.",
)
@click.option("--allow-unknown", is_flag=True, help="Exit 0 also where the verdict is unknown.")
def validate(session: Session, asked: tuple[str, ...], use: Sequence[str], allow_unknown: bool) -> int:
    """Give the verdict for a pipeline, or for one edge. There is a line for each edge, with the verdict and its
    reason; a name alone is its latest version. Without arguments it is the pipeline that opstore.toml or
    pyproject.toml names. The exit code is 0 for valid, 1 for invalid and 3 for unknown; over several edges one that is
    invalid beats one that is unknown.

    \b
    Examples:
      opstore validate churn
      opstore validate churn --use pca@1.0.0
      opstore validate pca@1.0.0 random_forest
      opstore validate churn --allow-unknown -q
    """
    found = _pipeline(session, asked, use) if len(asked) < 2 else _edge(session, asked, use)
    rows = [(answers.edge(edge), verdict(edge.verdict), edge.reason) for edge in found.edges]
    session.out.answer(found, quiet=[found.verdict], full=Table(("EDGE", "VERDICT", "REASON"), rows))
    if not session.out.json and found.pipeline is not None:
        session.out.note(f"the pipeline {found.pipeline} is {answers.SAID[found.verdict]}")
    return 0 if allow_unknown and found.verdict == "unknown" else answers.EXIT_CODES[found.verdict]


def _pipeline(session: Session, asked: tuple[str, ...], use: Sequence[str]) -> "Validation":
    settings = session.settings()
    name = asked[0] if asked else settings.pipeline
    if name is None:
        raise click.UsageError("name a pipeline, or an upstream and a downstream version")
    if "@" in name:
        raise click.UsageError(f"{name} is one version: name the downstream op or version too")
    return session.client(settings).validate_pipeline(name, use=use)


def _edge(session: Session, asked: tuple[str, ...], use: Sequence[str]) -> "Validation":
    if len(asked) > 2:
        raise click.UsageError("name one pipeline, or one upstream and one downstream version")
    if use:
        raise click.UsageError("--use goes with a pipeline: write the version behind the name, as in pca@1.0.0")
    return session.client().validate(*asked)
