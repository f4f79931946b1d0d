"""`opstore pull`: write the bytes of a version to a file or a folder."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console import pull_outputs
from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive, timeout_option, valid_for_option
from opstore_cli.console.parameters import DirectoryType, PipelineNameType, ReferenceType
from opstore_cli.console.pull_outputs import DASH, Options, Selected
from opstore_cli.console.session import Session
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_daemon.protocol.records import VersionRecord


@command("pull")
@click.argument("references", metavar="[REF]...", nargs=-1, type=ReferenceType())
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(),
    help="Write to PATH, or into it if it is a folder or ends in /; - means standard output.",
)
@click.option(
    "-d",
    "--directory",
    metavar="DIR",
    type=DirectoryType(),
    help="Write each version as DIR/NAME; DIR is created if it is missing.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite what is there.")
@click.option("--keep-suffix", is_flag=True, help="With -d: append the suffix of the file that was pushed.")
@click.option("--prune", is_flag=True, help="With -d: remove what an earlier pull of this lock left in DIR.")
@valid_for_option("Only a version that is valid for this one; repeatable.")
@click.option(
    "--pipeline", metavar="PIPELINE", type=PipelineNameType(), help="The version in this pipeline's resolution."
)
@timeout_option
@click.option(
    "--lock",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="All versions of this lock file; needs -d.",
)
def pull(
    session: Session,
    references: Sequence[Reference],
    output: str | None,
    directory: str | None,
    force: bool,
    keep_suffix: bool,
    prune: bool,
    valid_for: Sequence[Reference],
    pipeline: PipelineName | None,
    timeout: float | None,
    lock: Path | None,
) -> int:
    """Write the bytes of a version to a file or a folder. REF is NAME, for the latest version, or NAME@SELECTOR.

    \b
    Examples:
      opstore pull pca
      opstore pull pca@1.0.0 -o model/pca.bin
      opstore pull pca -o models/
      opstore pull pca random_forest@2.0.0 -d models
      opstore pull pca --valid-for random_forest@2.0.0
      opstore pull pca --pipeline churn -o - | sha256sum
      opstore pull --pipeline churn -d models --keep-suffix
      opstore pull --lock opstore.lock -d models --prune

    The path is printed. Without -o it is ./NAME-VERSION, with the suffix of the file that was pushed. The bytes appear
    there only after they match their digest.

    A file or folder that has the right bytes already is left alone. Anything else is overwritten only with -f. A
    version that was pushed from a folder becomes a folder; with -o - it is written as a tar stream.

    --valid-for selects the newest version that is valid for all of these; newer ones that were skipped are listed on
    standard error. --pipeline selects the version in the pipeline's resolution (see opstore resolve). If no version is
    valid, nothing is written, and the exit code is 1, or 3 if it is unknown.

    Several REFs need -d. They are pulled in parallel. Failures are reported, completed files are kept, and the exit
    code is that of the first REF that failed.

    --lock FILE, and --pipeline without a REF, write all ops to DIR/NAME. Nothing in DIR is replaced before the bytes
    of all of them are verified. After an interruption, run the command again to complete DIR. --prune removes
    what earlier pulls of this pipeline wrote into DIR and this one does not, unless it has changed since.
    """
    check_exclusive(valid_for=valid_for, pipeline=pipeline, lock=lock)
    check_exclusive(output=output is not None, directory=directory is not None)
    if timeout is not None and pipeline is None:
        raise click.UsageError("--timeout needs --pipeline")
    if keep_suffix and directory is None:
        raise click.UsageError("--keep-suffix needs -d; without it, the file keeps its suffix unless -o names it")
    if prune and (references or (lock is None and pipeline is None)):
        raise click.UsageError("--prune needs --lock or --pipeline, without a REF: it removes what the whole lacks")
    output = pull_outputs.standard_output_as_dash(output)
    _check_several(references, directory, pipeline, lock)
    if output == DASH and session.out.json:
        raise click.UsageError("--json and -o - both write to standard output; pass a path to -o")
    pull_outputs.check_output(output, directory, force)
    client = session.client()
    name, selected = _select(session, client, references, valid_for, pipeline, timeout, lock, shows_each=keep_suffix)
    if isinstance(selected, int):
        return selected
    if directory is None:
        pull_outputs.write_one(session, client, selected[0], output, force)
        return 0
    options = Options(force, keep_suffix, prune, name)
    write = pull_outputs.write_each if references else pull_outputs.write_together
    return write(session, client, selected, Path(directory), options)


def _select(
    session: Session,
    client: "OpStoreClient",
    references: Sequence[Reference],
    valid_for: Sequence[Reference],
    pipeline: PipelineName | None,
    timeout: float | None,
    lock: Path | None,
    *,
    shows_each: bool,
) -> tuple[str | None, list[Selected] | int]:
    """Return the pipeline, if all of its versions are selected, and the versions or an exit code."""
    if lock is None and pipeline is None and not valid_for and len(references) == 1 and not shows_each:
        return None, [Selected(references[0])]
    from opstore_cli.console import version_selection

    whole: str | None = None
    found: list[VersionRecord] | int
    if lock is not None:
        whole, found = version_selection.select_of_lock(session.out, client, lock)
    elif pipeline is not None:
        whole = pipeline if not references else None
        found = version_selection.select_of_pipeline(session.out, client, references, pipeline, timeout)
    elif valid_for:
        found = version_selection.select_valid(session.out, client, references, valid_for)
    else:
        found = [client.show(reference) for reference in references]  # all exist before anything is written
    if isinstance(found, int):
        return whole, found
    return whole, [Selected(Reference.of(version.op, version.version), version) for version in found]


def _check_several(
    references: Sequence[Reference], directory: str | None, pipeline: PipelineName | None, lock: Path | None
) -> None:
    if lock is not None and references:
        raise click.UsageError("--lock selects all versions: omit REF")
    if not references and pipeline is None and lock is None:
        raise click.UsageError("give a REF, --pipeline or --lock")
    if not references and directory is None:
        raise click.UsageError("pulling all ops needs a folder: pass it with -d")
    if len(references) > 1 and directory is None:
        raise click.UsageError("several REFs need a folder: pass it with -d")
    ops = [reference.op for reference in references]
    duplicate = next((op for op, count in Counter(ops).items() if count > 1), None)
    if duplicate is not None:
        raise click.UsageError(f"{duplicate} is given twice: both would be written to {directory}/{duplicate}")
