"""`opstore backup`: copy the local store to a folder, or check such a copy."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console.backups import document_of, refuse_remote, run, to_folder, write_document
from opstore_cli.console.command import command
from opstore_cli.console.parameters import DirectoryType
from opstore_cli.console.session import Session

if TYPE_CHECKING:
    from opstore_daemon.protocol.backup_lines import Result


@command("backup")
@click.argument("folder", metavar="DIR", type=DirectoryType(), callback=to_folder)
@click.option("--check", is_flag=True, help="Read the backup in DIR and report damage; no store is needed.")
@click.option("--checksum", is_flag=True, help="Also read the blobs that DIR has already, and replace damaged ones.")
@click.option("--prune", is_flag=True, help="Delete the blobs in DIR that only earlier backups needed.")
@click.option("--db", "database", metavar="URL", help="Database (default: the one in OPSTORE_HOME).")
@click.option("--saver", metavar="URL", help="Where the bytes are (default: a folder in OPSTORE_HOME).")
def backup(
    session: Session, folder: Path, check: bool, checksum: bool, prune: bool, database: str | None, saver: str | None
) -> None:
    """Copy the local store to DIR, beside a running daemon or without one. Prints what was copied.

    \b
    Examples:
      opstore backup /mnt/backup/opstore
      opstore backup --check /mnt/backup/opstore
      opstore backup --prune /mnt/backup/opstore

    The next backup to the same DIR copies only what is new. DIR can be on another disk or a mounted bucket; it is
    created if it is missing. Everybody can go on working meanwhile, and what is pushed after the beginning is in the
    next backup.

    The copies are read back before the backup counts. If it is interrupted, the previous backup in DIR is still whole,
    and the same command completes the new one. Blobs that are damaged in the store are reported, and everything else is
    backed up; the exit code is 6 then.

    The token is not part of a backup. -q prints the position.
    """
    if check and (checksum or prune or database or saver):
        raise click.UsageError("--check only reads DIR: it takes no --checksum, --prune, --db or --saver")
    words = [f"--{name}" for name, given in (("check", check), ("checksum", checksum), ("prune", prune)) if given]
    words += [f"{name}={url}" for name, url in (("--db", database), ("--saver", saver)) if url is not None]
    if not check:
        refuse_remote(session, "copies the files of the local store")
    run(session, "backup", [*words, "--", str(folder)], _write)


def _write(session: Session, result: "Result") -> None:
    write_document(session, document_of(result), quiet=str(result.position))
