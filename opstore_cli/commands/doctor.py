"""`opstore doctor`: diagnose common problems."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, text_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.doctor import Finding
    from opstore_cli.doctor.machine import Machine

OK, FINDING = Cell("ok", "✓ ok", "green"), Cell("finding", "✗ finding", "red")


@command("doctor")
@click.option("--saver", metavar="URL", help="Also try what this object store does (s3://BUCKET/PREFIX).")
def doctor(session: Session, saver: str | None) -> int:
    """Diagnose common problems: check the settings, data folder, tokens, database and daemon.

    \b
    Examples:
      opstore doctor
      opstore doctor --url https://models.example.com
      opstore doctor --json
      opstore doctor --saver s3://models/store

    doctor examines how this machine reaches a store. To check what is in the store, run opstore fsck.

    --saver tries what the daemon needs of an object store, with the credentials of this environment and with objects
    of its own, which it deletes again: permissions, checksums, conditions, uploads of parts, and the clock.

    Apart from that, doctor changes nothing, starts no daemon and prints no token. Each line has the check, its result,
    what was found and what to do. -q prints the names of the checks that found something. The exit code is 1 if any
    did.
    """
    from opstore_cli.doctor import examine

    findings = examine(_machine(session), saver)
    session.out.write_result(
        {"findings": findings},
        quiet=[each.check for each in findings if not each.ok],
        full=Table(("CHECK", "", "FOUND", "WHAT TO DO"), [_row(each) for each in findings]),
    )
    if all(each.ok for each in findings):
        session.out.tip("no problems found")
        return 0
    return errors.AnswerIsNo.exit_code


def _row(finding: "Finding") -> list[Cell | str]:
    return [finding.check, OK if finding.ok else FINDING, finding.found, text_cell(finding.advice)]


def _machine(session: Session) -> "Machine":
    from opstore_cli.config.settings import home_folder, working_folder
    from opstore_cli.doctor.machine import Machine

    try:
        cwd = working_folder()
    except errors.InvalidSetting as refusal:
        return Machine(home_folder(os.environ, Path("/")), Path("/"), refusal=refusal)
    try:
        settings = session.settings()
    except errors.InvalidSetting as refusal:
        return Machine(home_folder(os.environ, cwd), cwd, refusal=refusal)
    return Machine(settings.home, cwd, settings)
