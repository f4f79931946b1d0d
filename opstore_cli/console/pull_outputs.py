"""Write the versions that `opstore pull` selected: one to a path or a stream, or several into a folder."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from opstore_cli.console import results
from opstore_cli.console.session import Session
from opstore_cli.files.targets import SEPARATORS, ends_in_separator, is_standard_output, is_stream
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference
from opstore_daemon.system.stray_bytes import escape_stray_bytes

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.transfer.download import Pull
    from opstore_cli.transfer.pull_all import Pulled
    from opstore_daemon.protocol.records import VersionRecord

DASH = "-"  # standard output


class Selected(NamedTuple):
    """A version to pull; `version` is None until the daemon has resolved the reference."""

    reference: Reference
    version: "VersionRecord | None" = None


class Options(NamedTuple):
    """How several versions are written into a folder.

    `pipeline`: they are all versions of this pipeline's lock or resolution, and earlier pulls of it can be pruned.
    """

    force: bool
    keep_suffix: bool
    prune: bool
    pipeline: str | None = None


def standard_output_as_dash(output: str | None) -> str | None:
    """Return `-` for a path such as /dev/stdout: to open it again would overwrite what is in a redirected file."""
    return DASH if output is not None and is_standard_output(Path(output)) else output


def check_output(output: str | None, directory: str | None, force: bool) -> None:
    """Raise OutputExists or FileRefused for an output that can't be written, before the daemon is contacted."""
    from opstore_cli.transfer.output_path import check_path

    if directory is not None and os.path.lexists(directory) and not os.path.isdir(directory):
        raise errors.FileRefused(path=directory, reason="it is not a folder")
    if output is None or output == DASH or is_stream(Path(output)) or os.path.isdir(output):
        return
    if ends_in_separator(output):
        if os.path.lexists(output.rstrip(SEPARATORS)):
            raise errors.FileRefused(path=output, reason="it is not a folder")
    else:
        check_path(Path(output), force)


# --- one version ----------------------------------------------------------------------------------------------------


def write_one(session: Session, client: "OpStoreClient", selected: Selected, output: str | None, force: bool) -> None:
    """Write a version to the output, a path, a folder, a stream or `-`, or to NAME-VERSION in the working directory."""
    if output == DASH:
        with client.start_pull(selected.reference, expected=selected.version) as pull:
            pull.to_stream(_standard_output())
        return
    from opstore_cli.files.part_file import may_resume

    to_stream = output is not None and is_stream(Path(output))
    into = "." if output is None else output if os.path.isdir(output) or ends_in_separator(output) else None
    place = Path(output or ".") if into is None else Path(into, f"{selected.reference.op}-")
    # For a folder, PATH itself may be the version.
    is_folder = output is not None and os.path.isdir(output)
    resume = not to_stream and (is_folder or may_resume(place.parent, place.name, is_prefix=into is not None))
    with (
        session.out.progress(f"pull {selected.reference}"),
        client.start_pull(
            selected.reference, client_verifies=not to_stream, resume=resume, expected=selected.version
        ) as pull,
    ):
        path, written = _write(pull, output, into, force)
    reference = format_reference(pull.record.op, pull.record.version)
    session.out.write_result(_document(pull.record, path), quiet=[reference], full=[str(path)])
    if not written:
        _note_left_alone(session, [path])


def _write(pull: "Pull", output: str | None, into: str | None, force: bool) -> tuple[Path, bool]:
    """Write the bytes, and return the path and whether it was written: False if it had the bytes already."""
    from opstore_cli.transfer.output_path import default_name, is_complete

    if output is not None and is_stream(Path(output)):
        with _open_stream(Path(output)) as stream:
            pull.to_stream(stream)
        return Path(output), True
    if into is None:
        path = Path(output or ".")
    elif output is not None and pull.record.is_folder and is_complete(pull.record, Path(output)):
        return Path(output), False
    else:
        make_folder(Path(into))
        path = Path(into, default_name(pull.record))
    return path, pull.to_path(path, force)


# --- several versions -----------------------------------------------------------------------------------------------


def write_each(
    session: Session, client: "OpStoreClient", selected: Sequence[Selected], folder: Path, options: Options
) -> int:
    """Write each version to DIR/NAME, as many as possible, and return the exit code."""
    from opstore_cli.transfer.parallel import ParallelTransfers

    paths = _targets(selected, folder, options.keep_suffix)
    is_new = make_folder(folder)
    jobs = [partial(_pull_one, client, each, path, options.force) for each, path in zip(selected, paths, strict=True)]
    parts = [(each.reference.op, None if each.version is None else each.version.size) for each in selected]
    with session.out.progress(f"pull {len(jobs)} ops", parts) as display:
        transfers = ParallelTransfers(jobs, display)
        client.progress = transfers.moved
        outcomes = transfers.run()
    return _report(session, [each.reference.op for each in selected], outcomes, folder, is_new)


def write_together(
    session: Session, client: "OpStoreClient", selected: Sequence[Selected], folder: Path, options: Options
) -> int:
    """Write each version to DIR/NAME once all are verified, and return the exit code."""
    from opstore_cli.transfer.pull_all import pull_all, targets

    versions = [each.version for each in selected if each.version is not None]
    targets(versions, folder, keep_suffix=options.keep_suffix)  # refused before the folder is created
    is_new = make_folder(folder)
    parts = [(version.op, version.size) for version in versions]
    with session.out.progress(f"pull {len(versions)} ops", parts) as display:
        pulled = pull_all(
            client.start_pull,
            versions,
            folder,
            options.force,
            display,
            keep_suffix=options.keep_suffix,
            pipeline=options.pipeline,
            prune=options.prune,
        )
    further = {"pruned": [_text(path) for path in pulled.removed]} if options.prune else {}
    code = _report(session, [version.op for version in versions], pulled.outcomes, folder, is_new, further)
    if not session.out.json:
        for path in pulled.removed:
            session.out.note(f"removed {path}: it is not in {options.pipeline} any more")
    for path in pulled.changed:
        session.out.note(f"kept {path}: it is not what an earlier pull wrote", always=True)
    return code


def _targets(selected: Sequence[Selected], folder: Path, keep_suffix: bool) -> list[Path]:
    from opstore_cli.transfer.pull_all import targets

    if not keep_suffix:
        return [folder / each.reference.op for each in selected]
    return targets([each.version for each in selected if each.version is not None], folder, keep_suffix=True)


def _report(
    session: Session,
    ops: Sequence[str],
    outcomes: Sequence[object],
    folder: Path,
    is_new: bool,
    further: dict[str, Any] | None = None,
) -> int:
    """Print what was pulled, report the failures, and return the exit code.

    `is_new`: the folder was created. `further`: more keys of the document.
    """
    from opstore_cli.transfer.pull_all import Pulled

    pulled = [each for each in outcomes if isinstance(each, Pulled)]
    session.out.write_result(
        {"pulled": [_document(each.version, each.path) for each in pulled], **(further or {})},
        quiet=[format_reference(each.version.op, each.version.version) for each in pulled],
        full=[str(each.path) for each in pulled],
    )
    _note_left_alone(session, [each.path for each in pulled if not each.written])
    if is_new and not pulled:
        with suppress(OSError):
            folder.rmdir()
    return results.report_failures(session.out, ops, outcomes)


def _pull_one(client: "OpStoreClient", selected: Selected, path: Path, force: bool) -> "Pulled":
    from opstore_cli.files.part_file import may_resume
    from opstore_cli.transfer.output_path import check_path
    from opstore_cli.transfer.pull_all import Pulled

    check_path(path, force)
    resume = may_resume(path.parent, path.name)
    with client.start_pull(selected.reference, client_verifies=True, resume=resume, expected=selected.version) as pull:
        written = pull.to_path(path, force)
    return Pulled(pull.record, path, written)


# --- shared ---------------------------------------------------------------------------------------------------------


def _note_left_alone(session: Session, paths: Sequence[Path]) -> None:
    if paths:
        session.out.note(f"already up to date: {', '.join(map(str, paths))}")


def make_folder(folder: Path) -> bool:
    """Create the folder if it does not exist, and return whether it was created. Raises OutputFailed."""
    if folder.is_dir():
        return False
    with errors.translated(OSError, to=errors.OutputFailed, path=str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    return True


def _document(version: "VersionRecord", path: Path) -> dict[str, Any]:
    return {**results.to_dict(version), "path": _text(path)}


def _text(path: Path) -> str:
    return escape_stray_bytes(str(path))


def _open_stream(path: Path) -> BinaryIO:
    with errors.translated(OSError, to=errors.OutputFailed, path=str(path)):
        # Unbuffered: after a failed write, closing a buffered file would write, and fail, once more.
        return path.open("wb", buffering=0)


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise errors.OutputFailed(path="standard output", reason="it is closed")
    return sys.stdout.buffer
