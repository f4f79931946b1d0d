"""`opstore serve`: run the daemon in the foreground."""

from collections.abc import Sequence

import click

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import execute_daemon
from opstore_cli.console.options import refuse_url
from opstore_cli.console.parameters import NumberType
from opstore_cli.console.session import Session


@command("serve")
@click.option("--host", metavar="HOST", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", metavar="N", type=NumberType(0, 65535), help="Port (default: 0, any free port).")
@click.option("--db", metavar="URL", help="Database (default: a file in OPSTORE_HOME).")
@click.option("--saver", metavar="URL", help="Where to store bytes (default: a folder in OPSTORE_HOME).")
@click.option(
    "--allow-host",
    "names",
    metavar="NAME",
    multiple=True,
    help="Accept requests for this Host too, as a proxy forwards it; repeatable.",
)
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="Allow a --host beyond loopback: other machines reach it only through a proxy with TLS.",
)
@click.option(
    "--direct",
    metavar="on|URL",
    help="Have clients pull and push past the daemon, at the object store's URL for them (default: off).",
)
def serve(
    session: Session,
    host: str | None,
    port: int | None,
    db: str | None,
    saver: str | None,
    names: Sequence[str],
    behind_proxy: bool,
    direct: str | None,
) -> None:
    """Run a daemon in the foreground, until Ctrl-C or SIGTERM. Commands with the same OPSTORE_HOME find it.

    \b
    Examples:
      opstore serve
      opstore serve --port 8080
      opstore serve --db sqlite:////srv/opstore/opstore.db
      opstore serve --port 8080 --allow-host models.example.com
      opstore serve --saver s3://models/store --direct https://objects.example.com
      opstore serve --host 0.0.0.0 --behind-proxy --allow-host models.example.com

    The daemon speaks plain HTTP and listens on the loopback interface. For other machines, put a reverse proxy with
    TLS in front of it. If the proxy is on another machine or in another container, --behind-proxy allows an address
    that it can reach.
    """
    refuse_url(session)
    options = [("--host", host), ("--port", port), ("--db", db), ("--saver", saver), ("--direct", direct)]
    flags = ["--behind-proxy"] if behind_proxy else []
    execute_daemon("serve", *flags, options=[*options, *(("--allow-host", name) for name in names)])
