"""`python -m opstore_daemon migrate`: report lines of JSON for `opstore`, or text for everybody else."""

from collections.abc import Mapping

from opstore_daemon.backup import program
from opstore_daemon.backup.reporting import Report
from opstore_daemon.config import load
from opstore_daemon.migration.moving import migrate as move
from opstore_daemon.protocol.backup_lines import Result


def migrate(
    environ: Mapping[str, str],
    db: str | None,
    saver: str | None,
    to_db: str | None,
    to_saver: str | None,
    *,
    checksum: bool,
    dry_run: bool,
    lines: bool,
) -> None:
    """Move a store, and print the result. Raises errors of opstore; with `lines`, prints them and exits."""

    def work(report: Report) -> Result:
        return move(load(environ, db, saver), to_db, to_saver, report, checksum=checksum, dry_run=dry_run)

    program.run(work, lines)
