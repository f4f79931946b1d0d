"""`opstore push`: store a file or a folder as a version of an op."""

import os
import stat
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive, version_options
from opstore_cli.console.parameters import LEVELS, OpNameType, PathType, TagType
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Fields, Pushed


@command("push")
@click.argument("name", metavar="NAME", required=False, type=OpNameType())
@click.argument("file", metavar="FILE", required=False, type=PathType(exists=True, allow_dash=True))
@click.option(
    "--all",
    "directory",
    metavar="DIR",
    type=PathType(exists=True, file_okay=False),
    help="Push each file and folder in DIR, as the op of its name.",
)
@click.option("--bump", type=click.Choice(LEVELS), help="The level that changes (without it: patch).")
@click.option("--new", is_flag=True, help="Make a new version also of bytes that the latest one has already.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, type=TagType(), help="A tag for it; repeatable.")
@click.option("--follow-links", is_flag=True, help="Store what the links in a folder lead to, also outside of it.")
@version_options
def push(
    session: Session, /, name: OpName | None, file: str | None, directory: str | None, fields: "Fields", **options: Any
) -> int:
    """Store a file or a folder as a version of an op. The op is made where it is new, and the one line on standard
    output is NAME@VERSION. FILE may be -, standard input. Bytes that the latest version has already make nothing new.
    The links of --valid-for and --valid-with are entered together with the version, or not at all.

    A folder is stored with everything in it, and pull restores it. A link that leads out of it is refused, and so is
    anything other than a file, folder or link. --follow-links stores the files and folders that links lead to, as a
    snapshot folder of Hugging Face needs; a cycle is refused.

    With --all DIR, and without NAME and FILE, each file in DIR becomes a version of the op that is called as the file
    is without its ending (pca.joblib, pca.tar.gz: pca), and each folder one of the op that is called as the folder
    is. Names that begin with a dot are skipped. All names are checked before anything is sent. The other options count
    for each.

    --bump, --field and --subversions are mutually exclusive: the version comes from the newest one and the bytes, from
    the fields that you name, or from the three subversions that you give.

    \b
    Examples:
      opstore push pca pca.bin
      opstore push pca pca.bin --bump minor -m "twelve components"
      opstore push encoder encoder/ --label run=4711
      opstore push bert ~/.cache/huggingface/hub/models--bert/snapshots/86b5e09/ --follow-links
      opstore push --all models/ --bump minor
      opstore push random_forest - --valid-with pca@1.0.0 < forest.bin
      opstore push pca pca.bin --field major:whiten=true --field minor:seed=7
    """
    check_exclusive(bump=options["bump"], field=fields, subversions=options["subversions"])
    if directory is not None:
        if name is not None:
            raise click.UsageError("--all takes the names from the files: give no NAME and no FILE")
        if options["subversions"] is not None:
            raise click.UsageError("--subversions applies to one op, and --all pushes several")
        return _push_all(session, directory, fields=fields or None, **options)
    if name is None or file is None:
        raise click.UsageError("give NAME and FILE, or --all DIR")
    source = _standard_input() if file == "-" else file
    pushed = _push_one(session, name, source, fields=fields or None, **options)
    reference = format_reference(pushed.op, pushed.version)
    session.out.write_result(pushed, quiet=[reference], full=[reference])
    _note_unchanged(session, pushed, source)
    return 0


def _push_one(session: Session, name: OpName, source: str | BinaryIO, **options: Any) -> "Pushed":
    from opstore_cli.transfer.source import open_source

    # Opened first: a source that can't be read needs no daemon.
    with open_source(source, follow_links=options.pop("follow_links")) as opened, session.out.progress(f"push {name}"):
        return session.client().push(name, opened, **options)


def _note_unchanged(session: Session, pushed: "Pushed", source: str | BinaryIO) -> None:
    reference = format_reference(pushed.op, pushed.version)
    results.note_links(session.out, pushed)
    if not pushed.created:
        session.out.note(f"nothing new: {reference} has these bytes already")
        if isinstance(source, str) and os.path.isdir(source) and pushed.format != "folder":
            session.out.warn(f"{reference} was pushed as a file and is pulled as one; --new stores it as a folder")
        if isinstance(source, str) and os.path.isfile(source) and pushed.format is None:
            there, here = ("with", "without") if pushed.executable else ("without", "with")
            if pushed.executable != _is_executable(source):
                how = f"{there} the executable bit and is pulled so"
                session.out.warn(f"{reference} was pushed {how}; --new stores it {here} it")


def _push_all(session: Session, directory: str, **options: Any) -> int:
    from opstore_cli.transfer.batch import sources_by_op
    from opstore_cli.transfer.parallel import ParallelTransfers

    sources = sources_by_op(directory)
    client = session.client()
    jobs = [partial(client.push, op, path, **options) for op, path in sources.items()]
    parts = [(op, os.path.getsize(path) if os.path.isfile(path) else None) for op, path in sources.items()]
    with session.out.progress(f"push {len(jobs)} ops", parts) as display:
        transfers = ParallelTransfers(jobs, display)
        client.progress = transfers.moved
        outcomes = transfers.run()
    pushed_from = [
        (pushed, path)
        for pushed, path in zip(outcomes, sources.values(), strict=True)
        if pushed is not None and not isinstance(pushed, errors.OpStoreError)
    ]
    if session.out.json:
        session.out.write_json({"pushed": [pushed for pushed, _ in pushed_from]})
    else:
        session.out.write_lines(format_reference(pushed.op, pushed.version) for pushed, _ in pushed_from)
    for pushed, path in pushed_from:
        _note_unchanged(session, pushed, path)
    return results.report_failures(session.out, list(sources), outcomes)


def _is_executable(path: str) -> bool:
    with suppress(OSError):
        return os.name == "posix" and bool(os.stat(path).st_mode & stat.S_IXUSR)
    return False


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise errors.FileRefused(path="standard input", reason="it is closed")
    return sys.stdin.buffer
