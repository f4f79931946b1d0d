"""`opstore serve`: run the daemon in the foreground."""

from collections.abc import Sequence

import click

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import execute_daemon
from opstore_cli.console.parameters import NumberType
from opstore_cli.console.session import Session


@command("serve")
@click.option("--host", metavar="HOST", help="Where to listen (without it: 127.0.0.1).")
@click.option("--port", metavar="N", type=NumberType(0, 65535), help="The port (0: any that is free).")
@click.option("--db", metavar="URL", help="The database (without it: a file in OPSTORE_HOME).")
@click.option("--saver", metavar="URL", help="Where the bytes live (without it: a folder in OPSTORE_HOME).")
@click.option(
    "--allow-host",
    "names",
    metavar="NAME",
    multiple=True,
    help="A further name to answer to, as a proxy passes it on; repeatable.",
)
def serve(
    _session: Session, host: str | None, port: int | None, db: str | None, saver: str | None, names: Sequence[str]
) -> None:
    """Run the daemon in the foreground. It ends on Ctrl-C, or when it is told to terminate. The commands find it
    by OPSTORE_HOME. It listens on this machine only.

    \b
    Examples:
      opstore serve
      opstore serve --port 8080
      opstore serve --db sqlite:////srv/opstore/opstore.db
      opstore serve --port 8080 --allow-host models.example.com
    """
    options = [("--host", host), ("--port", port), ("--db", db), ("--saver", saver)]
    execute_daemon("serve", options=[*options, *(("--allow-host", name) for name in names)])
