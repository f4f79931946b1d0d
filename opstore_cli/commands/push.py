"""`opstore push`: store a file or a folder as a version of an op."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive, version_options
from opstore_cli.console.parameters import LEVELS, OpNameType, PathType, TagType, Text
from opstore_cli.console.session import Session
from opstore_cli.console.trailing_words import TrailingWordsCommand, trailing_option
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.transfer.source import Readable, Source
    from opstore_daemon.protocol.records import Fields, Pushed


class _NameType(OpNameType):
    """Take NAME as typed: it may be the name of a file, so the command parses it later."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Text.convert(self, value, param, ctx)


class _FileType(PathType):
    """The file to push. If only NAME is a path, the two are probably swapped."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name = None if ctx is None else ctx.params.get("name")
        if isinstance(name, str) and value != "-" and os.path.exists(name) and not _is_op(name, value):
            op = _op_or_none(os.fspath(value))
            if op is not None:
                raise _Swapped(op, name, "is a path: the name of the op comes first", ctx)
        return super().convert(value, param, ctx)


class _Swapped(click.UsageError):
    """The path is where the name of the op belongs."""

    def __init__(self, op: OpName | None, path: str, problem: str, ctx: click.Context | None = None) -> None:
        super().__init__(f"{path} {problem}", ctx)
        # Quoted, to be pasted into a shell; `./`, or it would be an option.
        self.advice = shlex.join(["opstore", "push", op or "NAME", f"./{path}" if path.startswith("-") else path])


def _is_op(name: str, file: str) -> bool:
    """Return whether NAME can be the op and FILE the file, as they were typed."""
    return os.path.exists(file) and _op_or_none(name) is not None


def _op_or_none(name: str) -> OpName | None:
    try:
        return OpName.parse(name)
    except errors.InvalidName:
        return None


@command("push", cls=TrailingWordsCommand)
@click.argument("name", metavar="NAME", required=False, type=_NameType())
@click.argument("file", metavar="FILE", required=False, type=_FileType(exists=True, allow_dash=True))
@trailing_option("--from-command", "words", "Store the output of this command; it takes all words that follow.")
@click.option(
    "--all",
    "directory",
    metavar="DIR",
    type=PathType(exists=True, file_okay=False),
    help="Push each file and folder in DIR as the op of its name.",
)
@click.option("--bump", type=click.Choice(LEVELS), help="The level that changes (default: patch).")
@click.option("--new", is_flag=True, help="Create a version even if the bytes are unchanged, or those of a yanked one.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, type=TagType(), help="Tag the version; repeatable.")
@click.option("--follow-links", is_flag=True, help="Store what the links in a folder lead to, also outside of it.")
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Skip the entries of a folder that this gitignore pattern matches; repeatable.",
)
@version_options
def push(
    session: Session,
    /,
    name: str | None,
    file: str | None,
    words: Sequence[str],
    directory: str | None,
    fields: "Fields",
    exclude: Sequence[str],
    follow_links: bool,
    **options: Any,
) -> int:
    """Store a file or a folder as a version of an op. The new version is printed as NAME@VERSION.

    \b
    Examples:
      opstore push pca pca.bin
      opstore push pca pca.bin --bump minor -m "twelve components"
      opstore push encoder encoder/ --label run=4711 --exclude '*.log'
      opstore push bert ~/.cache/huggingface/hub/models--bert/snapshots/86b5e09/ --follow-links
      opstore push --all models/ --bump minor
      opstore push random_forest - --valid-with pca@1.0.0 < forest.bin
      opstore push random_forest --tag nightly --from-command python train.py --seed 7
      opstore push pca pca.bin --field major:whiten=true --field minor:seed=7

    An op that does not exist is created. FILE may be - for standard input. If the latest version has the same bytes
    already, no version is created: the tags, labels and links are recorded on it, and a note says so. Links are
    recorded together with the version, or not at all.

    A folder is stored with everything in it, and pull restores it. Entries that match --exclude, or a pattern in the
    folder's .opstoreignore, are skipped, and so is .git. A link that leads out of the folder is refused, and so is
    anything other than a file, folder or link. --follow-links stores what links lead to in place of the links, as a
    snapshot folder of Hugging Face needs.

    --from-command, after all other options, runs a command without a shell and stores its output. If the command
    fails, nothing is stored, and the exit code is 2.

    --all DIR pushes each file in DIR as the op of its name without the suffix (pca.joblib, pca.tar.gz: pca), and each
    folder as the op of its name. Names that begin with a dot are skipped. All names are checked before the first
    upload. The other options apply to each op.

    --bump, --field and --subversions are mutually exclusive. The subversions of the new version come from the newest
    version and the bytes, from the fields, or from the three hashes that you pass.
    """
    check_exclusive(bump=options["bump"], field=fields, subversions=options["subversions"])
    check_exclusive(from_command=words, all=directory)
    options |= {"fields": fields or None}
    folder = {"follow_links": follow_links, "exclude": exclude}
    if directory is not None:
        if name is not None:
            raise click.UsageError("--all takes the names from the files: omit NAME and FILE")
        if options["subversions"] is not None:
            raise click.UsageError("--subversions applies to one op, and --all pushes several")
        return _push_all(session, directory, folder, options)
    if words:
        if name is None or file is not None:
            raise click.UsageError("give NAME and, in place of FILE, --from-command CMD after all other options")
        return _push_output(session, OpName.parse(name), words, options)
    if name is None or file is None:
        raise _incomplete(name)
    if exclude and not os.path.isdir(file):
        raise click.UsageError(f"--exclude is for folders, and {'standard input' if file == '-' else file} is none")
    source = _standard_input() if file == "-" else file
    return _push_one(session, OpName.parse(name), source, folder, options)


def _incomplete(name: str | None) -> click.UsageError:
    """Return the error for a missing FILE; if NAME is that of a file, it says the right command."""
    from opstore_daemon.protocol.file_suffixes import split_suffix

    message = "give NAME and FILE, NAME and --from-command CMD, or --all DIR"
    if name is None or not os.path.exists(name):
        return click.UsageError(message)
    base = os.path.basename(os.path.abspath(name))
    op = _op_or_none(base if os.path.isdir(name) else split_suffix(base)[0])
    return _Swapped(op, name, "is a path, and the name of the op is missing")


def _push_one(
    session: Session, name: OpName, source: str | BinaryIO, folder: dict[str, Any], options: dict[str, Any]
) -> int:
    from opstore_cli.transfer.source import open_source

    # Opened first: a source that can't be read needs no daemon.
    return _push_opened(session, name, source, open_source(source, **folder), options)


def _push_output(session: Session, name: OpName, words: Sequence[str], options: dict[str, Any]) -> int:
    from opstore_cli.transfer.command_source import run_command

    return _push_opened(session, name, "", run_command(words), options)


def _push_opened(
    session: Session,
    name: OpName,
    source: str | BinaryIO,
    opening: "AbstractContextManager[Source]",
    options: dict[str, Any],
) -> int:
    from opstore_cli.console import push_notes

    with opening as opened, session.out.progress(f"push {name}"):
        push_notes.note_skipped(session, str(source), opened.skipped)
        pushed = session.client().push(name, opened, **options)
    reference = format_reference(pushed.op, pushed.version)
    session.out.write_result(pushed, quiet=[reference], full=[reference])
    push_notes.note_result(session, pushed, source, options)
    return 0


class _PushedFrom(NamedTuple):
    pushed: "Pushed"
    skipped: tuple[int, bool]


def _push_all(session: Session, directory: str, folder: dict[str, Any], options: dict[str, Any]) -> int:
    from opstore_cli.console import push_notes
    from opstore_cli.transfer.batch import sources_by_op
    from opstore_cli.transfer.parallel import ParallelTransfers

    sources = sources_by_op(directory, folder["exclude"])
    client = session.client()
    jobs = [partial(_push_each, client, op, path, folder, options) for op, path in sources.items()]
    parts = [(op, os.path.getsize(path) if os.path.isfile(path) else None) for op, path in sources.items()]
    with session.out.progress(f"push {len(jobs)} ops", parts) as display:
        transfers = ParallelTransfers(jobs, display)
        client.progress = transfers.moved
        outcomes = transfers.run()
    found = [
        (outcome, path)
        for outcome, path in zip(outcomes, sources.values(), strict=True)
        if isinstance(outcome, _PushedFrom)
    ]
    if session.out.json:
        session.out.write_json({"pushed": [outcome.pushed for outcome, _ in found]})
    else:
        session.out.write_lines(format_reference(each.pushed.op, each.pushed.version) for each, _ in found)
    for outcome, path in found:
        push_notes.note_skipped(session, path, outcome.skipped)
        push_notes.note_result(session, outcome.pushed, path, options)
    return results.report_failures(session.out, list(sources), outcomes)


def _push_each(
    client: "OpStoreClient", op: OpName, path: "Readable", folder: dict[str, Any], options: dict[str, Any]
) -> _PushedFrom:
    from opstore_cli.transfer.source import open_source

    with open_source(path, **folder) as opened:
        return _PushedFrom(client.push(op, opened, **options), opened.skipped)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise errors.FileRefused(path="standard input", reason="it is closed")
    return sys.stdin.buffer
