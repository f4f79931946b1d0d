"""`opstore pull`: write the bytes of a version to a file or a folder."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive, timeout_option, valid_for_option
from opstore_cli.console.parameters import DirectoryType, PipelineNameType, ReferenceType
from opstore_cli.console.session import Session
from opstore_cli.files.targets import is_standard_output, is_stream
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference
from opstore_daemon.system.stray_bytes import escape_stray_bytes

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.transfer.download import Pull
    from opstore_daemon.protocol.records import VersionRecord


@command("pull")
@click.argument("references", metavar="[REF]...", nargs=-1, type=ReferenceType())
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(),
    help="Where to write (without it: NAME-VERSION; -: standard output).",
)
@click.option(
    "-d",
    "--directory",
    metavar="DIR",
    type=DirectoryType(),
    help="Write each REF as DIR/NAME; DIR is made where missing.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite what exists.")
@valid_for_option("Only a version that is valid for this one; repeatable.")
@click.option("--pipeline", metavar="PIPELINE", type=PipelineNameType(), help="As this pipeline's resolution has it.")
@timeout_option
@click.option(
    "--lock",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Every version of this lock; needs -d.",
)
def pull(
    session: Session,
    references: Sequence[Reference],
    output: str | None,
    directory: str | None,
    force: bool,
    valid_for: Sequence[Reference],
    pipeline: PipelineName | None,
    timeout: float | None,
    lock: Path | None,
) -> int:
    """Write the bytes of a version to a file or a folder. They are compared with their digest before it appears, and
    the path is printed. REF is NAME or NAME@SELECTOR. With --valid-for it is the newest version that is valid for all
    of them; newer ones that were skipped are named on standard error. With --pipeline it is the version that the
    pipeline's resolution has: see opstore resolve.

    A version that was pushed from a folder becomes a folder. With -f it replaces the file or the folder that is
    there, once it is complete. With -o - its bytes are written as they are: a tar stream.

    Several REFs need -d. They are pulled at the same time, each verified. Failures are reported, completed files are
    kept, and the exit code is that of the first REF that failed.

    --pipeline without a REF, and --lock, write all ops to DIR/NAME; those without bytes are skipped. Nothing in DIR is
    replaced before the bytes of all are verified. What has the right digest already is left alone, so that after an
    interruption the same command completes DIR.

    Where nothing is valid, nothing is written, and the exit code is 1, or 3 where no link says so either way.

    \b
    Examples:
      opstore pull pca
      opstore pull pca@1.0.0 -o model/pca.bin
      opstore pull pca random_forest@2.0.0 -d models
      opstore pull pca --valid-for random_forest@2.0.0
      opstore pull pca --pipeline churn -o - | sha256sum
      opstore pull --pipeline churn -d models
      opstore pull --lock opstore.lock -d models
    """
    check_exclusive(valid_for=valid_for, pipeline=pipeline, lock=lock)
    check_exclusive(output=output is not None, directory=directory is not None)
    if timeout is not None and pipeline is None:
        raise click.UsageError("--timeout needs --pipeline")
    output = _standard_output_as_dash(output)
    _check_several(references, directory, pipeline, lock)
    if output == "-" and session.out.json:
        raise click.UsageError("--json and -o - both write to standard output; pass a path to -o")
    _check_output(output, directory, force)
    client = session.client()
    selected = _select(session, client, references, valid_for, pipeline, timeout, lock)
    if isinstance(selected, int):
        return selected
    if directory is not None and not references:
        return _write_together(session, client, selected, Path(directory), force)
    if directory is not None:
        return _write_all(session, client, selected, Path(directory), force)
    _write(session, client, selected[0], output, force)
    return 0


class _Selected(NamedTuple):
    """A version to pull; `version` is None until the daemon has resolved the reference."""

    reference: Reference
    version: "VersionRecord | None" = None


def _select(
    session: Session,
    client: "OpStoreClient",
    references: Sequence[Reference],
    valid_for: Sequence[Reference],
    pipeline: PipelineName | None,
    timeout: float | None,
    lock: Path | None,
) -> list[_Selected] | int:
    if lock is None and pipeline is None and not valid_for and len(references) == 1:
        return [_Selected(references[0])]
    from opstore_cli.console import version_selection

    if lock is not None:
        found: list[VersionRecord] | int = version_selection.select_of_lock(session.out, client, lock)
    elif pipeline is not None:
        found = version_selection.select_of_pipeline(session.out, client, references, pipeline, timeout)
    elif valid_for:
        found = version_selection.select_valid(session.out, client, references, valid_for)
    else:
        found = [client.show(reference) for reference in references]  # all exist before anything is written
    if isinstance(found, int):
        return found
    return [_Selected(Reference.of(version.op, version.version), version) for version in found]


def _check_several(
    references: Sequence[Reference], directory: str | None, pipeline: str | None, lock: Path | None
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


# --- the output -----------------------------------------------------------------------------------------------------


def _check_output(output: str | None, directory: str | None, force: bool) -> None:
    """Raise OutputExists or FileRefused for an output that can't be written, before the daemon is contacted."""
    from opstore_cli.transfer.output_path import check_path

    if directory is not None and os.path.lexists(directory) and not os.path.isdir(directory):
        raise errors.FileRefused(path=directory, reason="it is not a folder")
    if output not in (None, "-") and not is_stream(Path(output)):
        check_path(Path(output), force)


def _standard_output_as_dash(output: str | None) -> str | None:
    """Return `-` for a path such as /dev/stdout: to open it again would overwrite what is in a redirected file."""
    return "-" if output is not None and is_standard_output(Path(output)) else output


def _write(session: Session, client: "OpStoreClient", selected: _Selected, output: str | None, force: bool) -> None:
    if output == "-":
        with client.start_pull(selected.reference, expected=selected.version) as pull:
            pull.to_stream(_standard_output())
        return
    from opstore_cli.files.part_file import may_resume

    op = selected.reference.op
    to_stream = output is not None and is_stream(Path(output))
    path = Path(f"{op}-" if output is None else output)
    resume = not to_stream and may_resume(path.parent, path.name)
    with (
        session.out.progress(f"pull {selected.reference}"),
        client.start_pull(
            selected.reference, client_verifies=not to_stream, resume=resume, expected=selected.version
        ) as pull,
    ):
        path = _write_to_path(pull, op, output, force)
    reference = format_reference(pull.record.op, pull.record.version)
    session.out.write_result(_document(pull.record, path), quiet=[reference], full=[str(path)])


def _write_to_path(pull: "Pull", op: str, output: str | None, force: bool) -> Path:
    """Write the bytes to the output, a stream or NAME-VERSION, and return its path."""
    path = Path(f"{op}-{pull.record.version}" if output is None else output)
    if output is not None and output.endswith(("/", os.sep)) and not pull.record.is_folder:
        raise errors.FileRefused(path=output, reason="it is a folder")
    if is_stream(path):
        with _open_stream(path) as stream:
            pull.to_stream(stream)
    else:
        pull.to_path(path, force)
    return path


def _write_all(
    session: Session, client: "OpStoreClient", selected: Sequence[_Selected], folder: Path, force: bool
) -> int:
    """Write each version to DIR/NAME, as many as possible, and return the exit code."""
    from opstore_cli.transfer.parallel import ParallelTransfers

    is_new = _make_folder(folder)
    ops = [each.reference.op for each in selected]
    paths = [folder / op for op in ops]
    jobs = [partial(_pull_one, client, each, path, force) for each, path in zip(selected, paths, strict=True)]
    parts = [(each.reference.op, None if each.version is None else each.version.size) for each in selected]
    with session.out.progress(f"pull {len(jobs)} ops", parts) as display:
        transfers = ParallelTransfers(jobs, display)
        client.progress = transfers.moved
        outcomes = transfers.run()
    return _report(session, ops, outcomes, folder, is_new)


def _write_together(
    session: Session, client: "OpStoreClient", selected: Sequence[_Selected], folder: Path, force: bool
) -> int:
    """Write each version to DIR/NAME once all are verified, and return the exit code."""
    from opstore_cli.transfer.pull_all import pull_all

    is_new = _make_folder(folder)
    versions = [each.version for each in selected if each.version is not None]
    parts = [(version.op, version.size) for version in versions]
    with session.out.progress(f"pull {len(versions)} ops", parts) as display:
        outcomes = pull_all(client.start_pull, versions, folder, force, display)
    return _report(session, [version.op for version in versions], outcomes, folder, is_new)


def _report(session: Session, ops: Sequence[str], outcomes: Sequence[object], folder: Path, is_new: bool) -> int:
    """Print what was pulled, report the failures, and return the exit code. `is_new`: the folder was created."""
    from opstore_daemon.protocol.records import VersionRecord

    pulled = [
        (version, folder / op) for version, op in zip(outcomes, ops, strict=True) if isinstance(version, VersionRecord)
    ]
    session.out.write_result(
        {"pulled": [_document(version, path) for version, path in pulled]},
        quiet=[format_reference(version.op, version.version) for version, _ in pulled],
        full=[str(path) for _, path in pulled],
    )
    if is_new and not pulled:
        with suppress(OSError):
            folder.rmdir()
    return results.report_failures(session.out, ops, outcomes)


def _pull_one(client: "OpStoreClient", selected: _Selected, path: Path, force: bool) -> "VersionRecord":
    from opstore_cli.files.part_file import may_resume
    from opstore_cli.transfer.output_path import check_path

    check_path(path, force)
    resume = may_resume(path.parent, path.name)
    with client.start_pull(selected.reference, client_verifies=True, resume=resume, expected=selected.version) as pull:
        pull.to_path(path, force)
    return pull.record


def _make_folder(folder: Path) -> bool:
    """Create the folder if it does not exist, and return whether it was created."""
    if folder.is_dir():
        return False
    with errors.translated(OSError, to=errors.OutputFailed, path=str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    return True


def _document(version: "VersionRecord", path: Path) -> dict[str, Any]:
    return {**results.to_dict(version), "path": escape_stray_bytes(str(path))}


def _open_stream(path: Path) -> BinaryIO:
    with errors.translated(OSError, to=errors.OutputFailed, path=str(path)):
        # Unbuffered: after a failed write, closing a buffered file would write, and fail, once more.
        return path.open("wb", buffering=0)


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise errors.OutputFailed(path="standard output", reason="it is closed")
    return sys.stdout.buffer
