"""`opstore migrate`: move the store to another database and another saver."""

from typing import TYPE_CHECKING

import click

from opstore_cli.console.backups import document_of, refuse_remote, run
from opstore_cli.console.command import command
from opstore_cli.console.migrations import write_migration
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_daemon.protocol.backup_lines import Result


_INTERRUPTED = (errors.StorageFull, errors.StorageFailed, errors.DatabaseFailed, errors.OutcomeUnknown)
_AUTOSTART = (
    "a command that finds no daemon starts one with the old place: keep the new one running as a service, or set"
    " OPSTORE_NO_AUTOSTART=1"
)


@command("migrate")
@click.option("--to-db", metavar="URL", help="Database to move to (default: it stays where it is).")
@click.option("--to-saver", metavar="URL", help="Where to move the bytes (default: they stay where they are).")
@click.option("--db", "database", metavar="URL", help="Database of the store (default: the one in OPSTORE_HOME).")
@click.option("--saver", metavar="URL", help="Where the bytes are (default: a folder in OPSTORE_HOME).")
@click.option("--checksum", is_flag=True, help="Read all bytes back, and copy again what is damaged there.")
@click.option("--dry-run", is_flag=True, help="Only check both sides, and print what would be moved.")
def migrate(
    session: Session,
    to_db: str | None,
    to_saver: str | None,
    database: str | None,
    saver: str | None,
    checksum: bool,
    dry_run: bool,
) -> None:
    """Move the store to another database, another saver, or both. Stop the daemon first. Prints what was moved.

    \b
    Examples:
      opstore migrate --to-db postgresql://opstore@db/opstore --to-saver s3://models/opstore
      opstore migrate --to-saver file:///mnt/large/blobs
      opstore migrate --db sqlite:////srv/old.db --to-db sqlite:////srv/new.db

    Everything keeps its number, sequence, position, time and digest, and clients keep their token. The source is not
    changed: it stays the store until you start a daemon with the new place, by the command that is printed at the end.

    The target must be empty. Bytes are verified as they are copied, and all rows are compared at the end. If it is
    interrupted, the same command resumes; no daemon starts with the target until it is complete.

    Blobs that are damaged or missing are reported, and everything else is moved; the exit code is 6 then. Collected
    blobs and unfinished uploads stay behind. Passwords are not printed; give them in PGPASSWORD or ~/.pgpass.

    -q prints the store id.
    """
    if to_db is None and to_saver is None:
        raise click.UsageError("give --to-db, --to-saver or both")
    refuse_remote(session, "moves the files of the local store")
    words = [f"--{name}" for name, given in (("checksum", checksum), ("dry-run", dry_run)) if given]
    options = (("--to-db", to_db), ("--to-saver", to_saver), ("--db", database), ("--saver", saver))
    words += [f"{name}={url}" for name, url in options if url is not None]
    run(session, "migrate", words, _write, resumed_after=_INTERRUPTED)


def _write(session: Session, result: "Result") -> None:
    document = document_of(result)
    write_migration(session, document)
    if "dry_run" not in document and document["go_back"] == "opstore serve":
        session.out.note(_AUTOSTART)
