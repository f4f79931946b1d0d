"""Options that select what to copy, and the output of adding it to a store."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opstore_cli.console.parameters import PipelineNameType, ReferenceType
from opstore_cli.console.results import note_counts
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.exchange.content import BytesSource, Content
    from opstore_cli.exchange.delivery import CopiedVersion

F = TypeVar("F", bound=Callable[..., Any])


def selection_options(function: F) -> F:
    """Add REF..., `--all-versions` and `--pipeline` to a command that copies versions."""
    for option in (
        click.option(
            "--pipeline",
            "pipelines",
            metavar="PIPELINE",
            multiple=True,
            type=PipelineNameType(),
            help="The resolution of this pipeline, and the pipeline itself; repeatable.",
        ),
        click.option("--all-versions", is_flag=True, help="All versions of each op, not only the latest one."),
        click.argument("references", metavar="[REF]...", nargs=-1, type=ReferenceType()),
    ):
        function = option(function)
    return function


def check_selection(references: Sequence[Reference], pipelines: Sequence[str], *, all_versions: bool) -> None:
    """Raise UsageError unless the options select something, and in one way."""
    if not references and not pipelines:
        raise click.UsageError("name versions, such as pca or pca@1.0.0, or a pipeline with --pipeline")
    selected = [str(reference) for reference in references if not reference.bare]
    if all_versions and selected:
        raise click.UsageError(f"--all-versions takes names of ops, and {selected[0]} selects a version")
    if all_versions and not references:
        raise click.UsageError("--all-versions needs the name of an op")


def deliver(session: Session, client: "OpStoreClient", content: "Content", source: "BytesSource") -> None:
    """Add the content to the store of the client, and print each new version; raise ImportIncomplete."""
    from opstore_cli.exchange.delivery import Delivery
    from opstore_cli.output.skipped import report_skipped

    def print_created(copied: "CopiedVersion") -> None:
        if not session.out.json:
            session.out.write_lines([f"{copied.op}@{copied.version}" if session.out.quiet else str(copied)])

    skip = partial(report_skipped, session.out)
    done = Delivery(client, content, source, on_created=print_created, skip=skip).run()
    if session.out.json:
        session.out.write_json(done)
    else:
        counts = (
            (len(done.created), "version"),
            (done.links, "link"),
            (len(done.tags), "tag"),
            (len(done.pipelines), "pipeline"),
        )
        note_counts(session.out, counts, done.unchanged)
    if done.skipped:
        raise errors.ImportIncomplete(count=len(done.skipped))
