"""`opstore import`: import the content of another store."""

from collections.abc import Sequence
from pathlib import Path

import click

from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.parameters import PathType
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName


@click.group("import", cls=Group, context_settings=HELP)
def import_() -> None:
    """Import the contents of another store.

    \b
    Examples:
      opstore import chariots --db sqlite:///db.sqlite --files ops
    """


def _renames(_ctx: click.Context, _param: click.Parameter, value: Sequence[str]) -> dict[str, OpName]:
    renames: dict[str, OpName] = {}
    for text in value:
        old, equals, new = text.rpartition("=")
        if not (old and equals):
            raise click.BadParameter(f"{text!r} is not OLD=NEW")
        if old in renames:
            raise click.BadParameter(f"{text!r} renames {old!r} a second time")
        renames[old] = OpName.parse(new)
    return renames


@command("chariots", group=import_)
@click.option("--db", metavar="URL", required=True, help="URL of the old store's database, as SQLAlchemy writes it.")
@click.option(
    "--files",
    metavar="DIR",
    required=True,
    type=PathType(exists=True, file_okay=False, path_type=Path),
    help="Folder with its files, as models/OP/VERSION.",
)
@click.option(
    "--rename",
    "renames",
    metavar="OLD=NEW",
    multiple=True,
    callback=_renames,
    help="New name of an op or a pipeline; repeatable.",
)
def chariots(session: Session, db: str, files: Path, renames: dict[str, OpName]) -> None:
    """Import a chariots op store. Prints each new version.

    \b
    Examples:
      opstore import chariots --db sqlite:///db.sqlite --files ops
      opstore import chariots --db sqlite:////srv/old/db.sqlite --files /srv/old/ops --rename RandomForest=random_forest

    opstore imports ops, versions in the order of their times, links, bytes and pipelines, and only reads the old store.
    You can run the command again, also after an interruption: nothing is imported twice.

    Whatever can't be imported is reported on standard error with the reason, and everything else is imported; the exit
    code is 2 then. An invalid name is skipped until --rename gives it another one.
    """
    from opstore_cli.importers.chariots import ChariotsImport, check_renames
    from opstore_cli.importers.chariots_source import Files, read

    old_files, found = Files(files), read(db)
    check_renames(found, renames)
    done = ChariotsImport(session.client(), old_files, renames, session.out).run(found)
    if session.out.json:
        session.out.write_json(done)
    else:
        counts = ((len(done.created), "version"), (done.links, "link"), (len(done.pipelines), "pipeline"))
        new = ", ".join(_counted(count, noun) for count, noun in counts)
        session.out.note(f"new: {new}; unchanged: {_counted(done.unchanged, 'version')}")
    if done.skipped:
        raise errors.ImportIncomplete(count=len(done.skipped))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
