"""`opstore import`: import the content of another store."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.parameters import PathType
from opstore_cli.console.results import note_counts
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName

F = TypeVar("F", bound=Callable[..., Any])


@click.group("import", cls=Group, context_settings=HELP)
def import_() -> None:
    """Import the contents of another store.

    \b
    Examples:
      opstore import chariots --db sqlite:///db.sqlite --files ops
      opstore import mlflow --uri http://mlflow.example.com
      opstore import export /media/stick/churn
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


def _rename_option(help_text: str) -> Callable[[F], F]:
    return click.option("--rename", "renames", metavar="OLD=NEW", multiple=True, callback=_renames, help=help_text)


@command("chariots", group=import_)
@click.option("--db", metavar="URL", required=True, help="URL of the old store's database, as SQLAlchemy writes it.")
@click.option(
    "--files",
    metavar="DIR",
    required=True,
    type=PathType(exists=True, file_okay=False, path_type=Path),
    help="Folder with its files, as models/OP/VERSION.",
)
@_rename_option("New name of an op or a pipeline; repeatable.")
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
        note_counts(session.out, counts, done.unchanged)
    if done.skipped:
        raise errors.ImportIncomplete(count=len(done.skipped))


@command("export", group=import_)
@click.argument("folder", metavar="DIR", type=PathType(exists=True, file_okay=False, path_type=Path))
def export(session: Session, folder: Path) -> None:
    """Import what `opstore export` wrote to DIR. Prints each new version.

    \b
    Examples:
      opstore import export /media/stick/churn

    Versions keep their subversions, so nothing is imported twice; the store assigns their version numbers. A line such
    as pca@1.0.4 -> pca@1.0.0 shows the number in the other store and the one in this store. Bytes are verified before
    they are stored. A link, a tag or a pipeline that the store has already stays as it is.

    Whatever can't be imported is reported on standard error with the reason, and everything else is imported; the exit
    code is 2 then.
    """
    from opstore_cli.console.deliveries import deliver
    from opstore_cli.exchange.folder import ExportedBytes, read_export

    content = read_export(folder)
    deliver(session, session.client(), content, ExportedBytes(folder))


@command("mlflow", group=import_)
@click.option(
    "--uri",
    metavar="URI",
    required=True,
    envvar="MLFLOW_TRACKING_URI",
    help="Address of the registry, as MLflow takes it; by default that of MLFLOW_TRACKING_URI.",
)
@click.option("--model", "models", metavar="NAME", multiple=True, help="Only this model; repeatable.")
@_rename_option("Name of the op for a model; repeatable.")
def mlflow(session: Session, uri: str, models: Sequence[str], renames: dict[str, OpName]) -> None:
    """Import the models of an MLflow registry. Prints each new version.

    \b
    Examples:
      opstore import mlflow --uri http://mlflow.example.com
      opstore import mlflow --uri sqlite:///mlflow.db --model "Churn Model"
      opstore import mlflow --uri http://mlflow.example.com --rename "Churn Model=churn"

    A model becomes an op (Churn Model becomes churn_model), and its versions become versions of the op in the same
    order, each with its files. Aliases become tags; run, metrics and tags become labels; descriptions become messages.

    You can run the command again at any time, also after an interruption: it imports only what is new, and moves the
    tags of aliases that moved. A tag that was moved in this store stays. The registry is only read.

    Whatever can't be imported is reported on standard error with the reason, and everything else is imported; the exit
    code is 2 then. Needs MLflow: pip install 'opstore[mlflow]'.
    """
    from opstore_cli.importers.mlflow import MlflowImport, check_uri
    from opstore_cli.importers.mlflow_registry import open_registry

    check_uri(uri)
    with open_registry(uri, os.environ) as registry:
        done = MlflowImport(session.client(), registry, renames, session.out).run(models)
    if session.out.json:
        session.out.write_json(done)
    else:
        note_counts(session.out, ((len(done.created), "version"), (len(done.tags), "tag")), done.unchanged)
    if done.skipped:
        raise errors.ImportIncomplete(count=len(done.skipped))
