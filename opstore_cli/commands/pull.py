"""`opstore pull`: the bytes of a version become a file."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from opstore_cli import answers, arguments
from opstore_cli.context import Session, command
from opstore_cli.output import in_json, named
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.references import parse_reference

if TYPE_CHECKING:
    from opstore_cli.client import OpStoreClient
    from opstore_daemon.protocol.records import VersionRecord


@command("pull")
@click.argument("reference", metavar="REF", callback=arguments.reference)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(),
    help="Where to write (without it: NAME-NUMBER; -: standard output).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite PATH where it exists.")
@arguments.valid_for_option("Only a version that is valid for this one; repeatable.")
@click.option("--pipeline", metavar="PIPELINE", callback=arguments.name, help="Only if the pipeline is valid.")
def pull(
    session: Session, reference: str, output: str | None, force: bool, valid_for: Sequence[str], pipeline: str | None
) -> int:
    """Write the bytes of a version to a file. They are compared with their digest before the file appears, and the
    path is printed. REF is NAME or NAME@SELECTOR. With --valid-for it is the newest version that is valid for all of
    them; newer ones that were passed over are named on standard error. With --pipeline it is the version of the op
    that the pipeline has, where all its edges are valid.

    Where nothing is valid, nothing is written, and the exit code is 1, or 3 where no link says so either way.

    \b
    Examples:
      opstore pull pca
      opstore pull pca@1.0.0 -o model/pca.bin
      opstore pull pca --valid-for random_forest@2.0.0
      opstore pull pca --pipeline churn -o - | sha256sum
    """
    arguments.exclusive(valid_for=valid_for, pipeline=pipeline)
    if output == "-" and session.out.json:
        raise click.UsageError("--json and -o - both want standard output: give a path")
    if output is not None:
        _check_output(output, force)
    client = session.client()
    if pipeline is not None:
        picked = _of_pipeline(session, client, reference, pipeline)
    elif valid_for:
        picked = _valid_for(session, client, reference, valid_for)
    else:
        picked = client.show(reference)
    if isinstance(picked, int):
        return picked
    _write(session, client, picked, output, force)
    return 0


def _valid_for(
    session: Session, client: "OpStoreClient", reference: str, valid_for: Sequence[str]
) -> "VersionRecord | int":
    found = client.versions(reference, valid_for=valid_for, limit=1)
    answers.name_passed_over(session.out, found)
    if found.versions:
        return found.versions[0]
    return answers.nothing_left(
        session.out,
        found.op,
        " and ".join(valid_for),
        found.verdict,
        {"pulled": [], "verdict": found.verdict, "passed_over": found.passed_over},
    )


def _of_pipeline(session: Session, client: "OpStoreClient", reference: str, pipeline: str) -> "VersionRecord | int":
    asked = parse_reference(reference)
    if not asked.bare:
        raise click.UsageError(f"--pipeline picks the version: give {asked.op} alone")
    validation = client.validate_pipeline(pipeline)
    number = next((version.number for version in validation.versions if version.op == asked.op), None)
    if all(version.op != asked.op for version in validation.versions):
        raise click.UsageError(f"{asked.op} is no op of the pipeline {pipeline}")
    if validation.verdict == "valid":
        return client.show(named(asked.op, number))
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


def _check_output(output: str, force: bool) -> None:
    """Refuses what is certain to fail, before the daemon is asked (or started)."""
    from opstore_cli import downloads

    if output == "-":
        return
    if output.endswith(("/", os.sep)):
        raise errors.FileRefused(path=output, reason="it is a folder")
    if not _is_stream(Path(output)):
        downloads.check_output(Path(output), force)


def _is_stream(path: Path) -> bool:
    """Whether it is a device or a pipe: written into, never replaced by a file."""
    # Not Path.exists(): that raises where a name is too long.
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _write(session: Session, client: "OpStoreClient", picked: "VersionRecord", output: str | None, force: bool) -> None:
    reference = named(picked.op, picked.number)
    if picked.yanked:
        session.out.warn(f"{reference} is yanked")
    path = Path(f"{picked.op}-{picked.number}" if output is None else output)
    if output is None:
        _check_output(str(path), force)
    if output == "-":
        client.pull(reference, to=_standard_output())
        return
    with session.out.progress(f"pull {reference}"):
        if _is_stream(path):
            with _opened(path) as stream:
                client.pull(reference, to=stream)
        else:
            client.pull(reference, to=path, overwrite=force)
    session.out.answer({**answers.keys_of(picked), "path": in_json(str(path))}, quiet=[reference], full=[str(path)])


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
