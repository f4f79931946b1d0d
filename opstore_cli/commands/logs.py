"""`opstore logs`: print the log of the local daemon."""

import os
import sys

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import refuse_url
from opstore_cli.console.parameters import NumberType
from opstore_cli.console.session import Session


@command("logs")
@click.option(
    "-n",
    "--lines",
    "count",
    metavar="N",
    type=NumberType(0),
    default=100,
    help="Print the last N lines (default: 100).",
)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written, until Ctrl-C.")
def logs(session: Session, count: int, follow: bool) -> None:
    """Print the log of the local daemon, whether it is running or not.

    \b
    Examples:
      opstore logs
      opstore logs -n 20 -f
      opstore logs --json

    Each request has a line with its id, method, path, status, duration, the client's address and the first 8 digits of
    the token's SHA-256. `opstore serve` logs to its terminal instead.
    """
    from opstore_cli.local import log, runtime
    from opstore_daemon.protocol.home_trust import check_home

    refuse_url(session)
    if follow and session.out.json:
        raise click.UsageError("--follow and --json are mutually exclusive: one document has an end")
    home = session.home()
    check_home(home)
    if os.environ.get("OPSTORE_URL"):
        session.out.warn("OPSTORE_URL is set: this is the log of the local daemon, not of that one")
    path = home / runtime.LOG_FILE
    found, offset = log.last_lines(path, count)
    lines = [line.decode(errors="backslashreplace") for line in found]
    session.out.write_result({"path": str(path), "lines": lines}, quiet=lines, full=lines)
    if not follow:
        return
    sys.stdout.flush()  # a pipe gets each line as it is written
    for line in log.following(path, offset):
        session.out.write_lines([line.decode(errors="backslashreplace")])
        sys.stdout.flush()
