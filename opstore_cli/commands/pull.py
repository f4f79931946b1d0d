"""`opstore pull`: the bytes of a version become a file, or a folder."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from opstore_cli import answers, arguments
from opstore_cli.context import Session, command
from opstore_cli.output import in_json, named
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.references import parse_reference

if TYPE_CHECKING:
    from opstore_cli.client import OpStoreClient
    from opstore_daemon.protocol.records import Validation, VersionRecord


@command("pull")
@click.argument("references", metavar="REF...", nargs=-1, required=True, callback=arguments.reference)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(),
    help="Where to write (without it: NAME-NUMBER; -: standard output).",
)
@click.option(
    "-d", "--directory", metavar="DIR", type=click.Path(), help="Write each REF as DIR/NAME; DIR is made where missing."
)
@click.option("-f", "--force", is_flag=True, help="Overwrite what exists.")
@arguments.valid_for_option("Only a version that is valid for this one; repeatable.")
@click.option("--pipeline", metavar="PIPELINE", callback=arguments.name, help="Only if the pipeline is valid.")
def pull(
    session: Session,
    references: Sequence[str],
    output: str | None,
    directory: str | None,
    force: bool,
    valid_for: Sequence[str],
    pipeline: str | None,
) -> int:
    """Write the bytes of a version to a file or a folder. They are compared with their digest before it appears, and
    the path is printed. REF is NAME or NAME@SELECTOR. With --valid-for it is the newest version that is valid for all
    of them; newer ones that were passed over are named on standard error. With --pipeline it is the version of the op
    that the pipeline has, where all its edges are valid.

    A version that was pushed from a folder becomes a folder. With -f it replaces the file or the folder that is
    there, once it is complete. With -o - its bytes are written as they are: a tar stream.

    Several REFs need -d. They are pulled at the same time, each verified. What could not be pulled is said, the rest
    stays, and the exit code is that of the first REF that failed.

    Where nothing is valid, nothing is written, and the exit code is 1, or 3 where no link says so either way.

    \b
    Examples:
      opstore pull pca
      opstore pull pca@1.0.0 -o model/pca.bin
      opstore pull pca random_forest@2.0.0 -d models
      opstore pull pca --valid-for random_forest@2.0.0
      opstore pull pca --pipeline churn -o - | sha256sum
    """
    arguments.exclusive(valid_for=valid_for, pipeline=pipeline)
    arguments.exclusive(output=output is not None, directory=directory is not None)
    _check_several(references, directory)
    if output == "-" and session.out.json:
        raise click.UsageError("--json and -o - both want standard output: give a path")
    _check_output(output, directory, force)
    client = session.client()
    if pipeline is not None:
        picked = _of_pipeline(session, client, references, pipeline)
    elif valid_for:
        picked = _valid_for(session, client, references, valid_for)
    else:
        picked = [client.show(reference) for reference in references]
    if isinstance(picked, int):
        return picked
    for version in picked:
        if version.yanked:
            session.out.warn(f"{named(version.op, version.number)} is yanked")
    if directory is not None:
        return _write_all(session, client, picked, Path(directory), force)
    _write(session, client, picked[0], output, force)
    return 0


def _check_several(references: Sequence[str], directory: str | None) -> None:
    if len(references) > 1 and directory is None:
        raise click.UsageError("several REFs are written into a folder: give it with -d")
    ops = [parse_reference(reference).op for reference in references]
    twice = next((op for op in ops if ops.count(op) > 1), None)
    if twice is not None:
        raise click.UsageError(f"{twice} is named twice, and each REF would be written to {directory}/{twice}")


# --- which version --------------------------------------------------------------------------------------------------


def _valid_for(
    session: Session, client: "OpStoreClient", references: Sequence[str], valid_for: Sequence[str]
) -> "list[VersionRecord] | int":
    picked = []
    for reference in references:
        found = client.versions(reference, valid_for=valid_for, limit=1)
        answers.name_passed_over(session.out, found)
        if not found.versions:
            document: dict[str, Any] = {"pulled": [], "verdict": found.verdict, "passed_over": found.passed_over}
            return answers.nothing_left(session.out, found.op, " and ".join(valid_for), found.verdict, document)
        picked.append(found.versions[0])
    return picked


def _of_pipeline(
    session: Session, client: "OpStoreClient", references: Sequence[str], pipeline: str
) -> "list[VersionRecord] | int":
    asked = [parse_reference(reference) for reference in references]
    for reference in asked:
        if not reference.bare:
            raise click.UsageError(f"--pipeline picks the version: give {reference.op} alone")
    validation = client.validate_pipeline(pipeline)
    numbers = {version.op: version.number for version in validation.versions}
    for reference in asked:
        if reference.op not in numbers:
            raise click.UsageError(f"{reference.op} is no op of the pipeline {pipeline}")
    if validation.verdict == "valid":
        return [client.show(named(reference.op, numbers[reference.op])) for reference in asked]
    return _not_valid(session, pipeline, validation)


def _not_valid(session: Session, pipeline: str, validation: "Validation") -> int:
    if session.out.json:
        session.out.document({"pulled": [], "verdict": validation.verdict, "edges": validation.edges})
    else:
        session.out.failure(
            "NothingValid",
            f"the pipeline {pipeline} is {answers.SAID[validation.verdict]}: nothing was pulled",
            f"opstore validate {pipeline}",
        )
        for edge in validation.edges:
            if edge.verdict != "valid":
                session.out.note(f"{answers.edge(edge)}: {edge.verdict}: {edge.reason}")
    return answers.EXIT_CODES[validation.verdict]


# --- where to -------------------------------------------------------------------------------------------------------


def _check_output(output: str | None, directory: str | None, force: bool) -> None:
    """Refuses what is certain to fail, before the daemon is asked (or started)."""
    from opstore_cli import downloads

    if directory is not None and os.path.lexists(directory) and not os.path.isdir(directory):
        raise errors.FileRefused(path=directory, reason="it is no folder")
    if output not in (None, "-") and not _is_stream(Path(output)):
        downloads.check_place(Path(output), force)


def _is_stream(path: Path) -> bool:
    """Whether it is a device or a pipe: written into, never replaced by a file."""
    # Not Path.exists(): that raises where a name is too long.
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _write(session: Session, client: "OpStoreClient", picked: "VersionRecord", output: str | None, force: bool) -> None:
    from opstore_cli import downloads

    reference = named(picked.op, picked.number)
    if output == "-":
        client.pull(reference, to=_standard_output())
        return
    path = Path(f"{picked.op}-{picked.number}" if output is None else output)
    if output is not None and output.endswith(("/", os.sep)) and not downloads.is_folder(picked):
        raise errors.FileRefused(path=output, reason="it is a folder")
    if not _is_stream(path):
        downloads.check_output(picked, path, force)
    with session.out.progress(f"pull {reference}"):
        if _is_stream(path):
            with _opened(path) as stream:
                client.pull(reference, to=stream)
        else:
            client.pull(reference, to=path, overwrite=force)
    session.out.answer(_document(picked, path), quiet=[reference], full=[str(path)])


def _write_all(
    session: Session, client: "OpStoreClient", picked: "Sequence[VersionRecord]", folder: Path, force: bool
) -> int:
    from opstore_cli.several import Several

    is_new = _make_folder(folder)
    paths = [folder / version.op for version in picked]
    jobs = [
        partial(client.pull, named(version.op, version.number), to=path, overwrite=force)
        for version, path in zip(picked, paths, strict=True)
    ]
    transfers = Several(jobs, sum(version.size or 0 for version in picked), session.out.moved)
    client.progress = transfers.moved
    with session.out.progress(f"pull {len(jobs)} ops"):
        ended = transfers.run()
    pulled = [
        (version, path)
        for version, path, result in zip(picked, paths, ended, strict=True)
        if result is not None and not isinstance(result, errors.OpStoreError)
    ]
    session.out.answer(
        {"pulled": [_document(version, path) for version, path in pulled]},
        quiet=[named(version.op, version.number) for version, _ in pulled],
        full=[str(path) for _, path in pulled],
    )
    if is_new and not pulled:
        with suppress(OSError):
            folder.rmdir()
    return answers.failures(session.out, [version.op for version in picked], ended)


def _make_folder(folder: Path) -> bool:
    """Whether it had to be made."""
    if folder.is_dir():
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.OutputFailed(path=str(folder), reason=error.strerror or str(error)) from None
    return True


def _document(version: "VersionRecord", path: Path) -> dict[str, Any]:
    return {**answers.keys_of(version), "path": in_json(str(path))}


def _opened(path: Path) -> BinaryIO:
    try:
        # Not buffered: closing it would write once more, and fail once more, where a write has failed.
        return path.open("wb", buffering=0)
    except OSError as error:
        raise errors.OutputFailed(path=str(path), reason=error.strerror or str(error)) from None


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise errors.OutputFailed(path="standard output", reason="it is closed")
    return sys.stdout.buffer
