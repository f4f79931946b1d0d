"""`opstore copy`: copy versions from one store to another."""

from collections.abc import Sequence

import click

from opstore_cli.console.command import command
from opstore_cli.console.deliveries import check_selection, deliver, selection_options
from opstore_cli.console.session import Session
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference


@command("copy")
@selection_options
@click.option("--to", metavar="URL", help="The daemon of the store to copy to.")
@click.option("--from", "source", metavar="URL", help="The daemon of the store to copy from.")
def copy(
    session: Session,
    references: Sequence[Reference],
    all_versions: bool,
    pipelines: Sequence[PipelineName],
    to: str | None,
    source: str | None,
) -> None:
    """Copy versions to another store, with their links and tags. Prints each new version.

    \b
    Examples:
      opstore copy pca forest --to https://models.example.com
      opstore copy --pipeline churn --to https://models.example.com
      opstore copy pca --all-versions --from https://models.example.com

    --to copies from the store that commands use to another one, --from the other way. Log in to a remote daemon first:
    opstore login URL.

    What is copied: the bytes, the subversions, message, labels, tags and yank of each version, the links between the
    copied versions, the compatibility level and the description of new ops, and the pipelines of --pipeline.

    Versions keep their subversions, so nothing is copied twice; the store assigns their version numbers. A line such as
    pca@1.0.4 -> pca@1.0.0 shows the number in the first store and the one in the second. A link, a tag or a pipeline
    that the second store has already stays as it is; a yank is copied even so. After an interruption, run the command
    again.

    Whatever can't be copied is reported on standard error with the reason, and everything else is copied; the exit code
    is 2 then.
    """
    check_selection(references, pipelines, all_versions=all_versions)
    if (to is None) == (source is None):
        raise click.UsageError("pass either --to or --from: the daemon to copy to, or the one to copy from")
    from opstore_cli.exchange.selection import StoreBytes, select

    other = Session(url=to or source, out=session.out).client()
    own = session.client()
    first, second = (own, other) if source is None else (other, own)
    content = select(first, references, pipelines, all_versions=all_versions)
    deliver(session, second, content, StoreBytes(first))
