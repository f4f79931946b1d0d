"""`opstore restore`: restore a backup of a store."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console.backups import document_of, refuse_remote, run, to_folder, write_document
from opstore_cli.console.command import command
from opstore_cli.console.parameters import DirectoryType
from opstore_cli.console.session import Session

if TYPE_CHECKING:
    from opstore_daemon.protocol.backup_lines import Result


@command("restore")
@click.argument("folder", metavar="DIR", type=DirectoryType(), callback=to_folder)
@click.option("--clone", is_flag=True, help="Give the restored store an id of its own, because the original lives on.")
@click.option("--partial", is_flag=True, help="Restore what is intact of a damaged backup, and list what is not.")
@click.option("--db", "database", metavar="URL", help="Database (default: a file in OPSTORE_HOME).")
@click.option("--saver", metavar="URL", help="Where the bytes go (default: a folder in OPSTORE_HOME).")
def restore(
    session: Session, folder: Path, clone: bool, partial: bool, database: str | None, saver: str | None
) -> None:
    """Restore the backup in DIR into an empty OPSTORE_HOME. Stop the daemon first. Prints what was restored.

    \b
    Examples:
      opstore restore /mnt/backup/opstore
      OPSTORE_HOME=/srv/new opstore restore /mnt/backup/opstore
      OPSTORE_HOME=/srv/test opstore restore --clone /mnt/backup/opstore

    Everything is verified as it is copied, and a damaged backup is refused. Numbers, sequences, positions and the store
    id are those of the backup; the token is a new one. A home that has content is refused and not changed.

    If a restore is interrupted, no daemon starts in that home until the same command has completed it.

    -q prints the home.
    """
    refuse_remote(session, "writes the files of the local store")
    words = [f"--{name}" for name, given in (("clone", clone), ("partial", partial)) if given]
    words += [f"{name}={url}" for name, url in (("--db", database), ("--saver", saver)) if url is not None]
    run(session, "restore", [*words, "--", str(folder)], _write)


def _write(session: Session, result: "Result") -> None:
    document = document_of(result)
    write_document(session, document, quiet=str(document["home"]))
