"""`opstore export`: write versions to a folder that another store can import."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from opstore_cli.console.command import command
from opstore_cli.console.deliveries import check_selection, selection_options
from opstore_cli.console.parameters import DirectoryType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.sizes import format_size


@command("export")
@selection_options
@click.option(
    "-d", "--directory", metavar="DIR", required=True, type=DirectoryType(), help="The folder to write; it is created."
)
def export(
    session: Session,
    references: Sequence[Reference],
    all_versions: bool,
    pipelines: Sequence[PipelineName],
    directory: str,
) -> None:
    """Export versions to a folder, with their links and tags. `opstore import export DIR` adds them to another store.

    \b
    Examples:
      opstore export --pipeline churn -d /media/stick/churn
      opstore export pca --all-versions -d pca-export

    For a store that this machine can't reach; otherwise use opstore copy, which copies the same. DIR gets export.json,
    which describes the versions, and blobs/, which has their bytes, each file named by its SHA-256. It is not a backup
    of the store: see opstore backup.

    After an interruption, run the command again. DIR must be new, empty or an earlier export, whose bytes stay. Prints
    each exported version.
    """
    check_selection(references, pipelines, all_versions=all_versions)
    from opstore_cli.exchange.folder import write_export
    from opstore_cli.exchange.selection import StoreBytes, select

    client = session.client()
    content = select(client, references, pipelines, all_versions=all_versions)
    written = write_export(Path(directory), content, StoreBytes(client))
    names = [str(version) for version in content.versions]
    document = {"path": directory, "versions": content.versions, "written": written}
    session.out.write_result(document, quiet=names, full=names)
    session.out.note(
        f"wrote {format_size(written)} to {directory}; to import it: opstore import export {shlex.quote(directory)}"
    )
