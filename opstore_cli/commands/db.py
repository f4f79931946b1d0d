"""`opstore db`: upgrade the daemon's database or show its schema."""

import click

from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.daemon_status import execute_daemon
from opstore_cli.console.options import refuse_url
from opstore_cli.console.session import Session


@click.group("db", cls=Group, context_settings=HELP)
def db() -> None:
    """Upgrade the daemon's database, or show its schema.

    \b
    Examples:
      opstore db current
      opstore db upgrade
    """


@command("upgrade", group=db)
@click.option("--db", "database", metavar="URL", help="Database (default: the one in OPSTORE_HOME).")
def upgrade(session: Session, database: str | None) -> None:
    """Upgrade the database to the schema of this opstore, after a backup. Stop the daemon first.

    \b
    Examples:
      opstore db upgrade
      opstore db upgrade --db sqlite:////srv/opstore/opstore.db

    You rarely need this: the daemon upgrades its database when it starts. The
    backup is opstore.db.before-NEW-at-OLD beside the database, with the numbers of
    the schemas; opstore never deletes it.
    """
    _execute(session, "upgrade", database)


@command("current", group=db)
@click.option("--db", "database", metavar="URL", help="Database (default: the one in OPSTORE_HOME).")
def current(session: Session, database: str | None) -> None:
    """Show the schema of the database, and the one that this opstore needs.

    \b
    Examples:
      opstore db current
    """
    _execute(session, "current", database)


def _execute(session: Session, word: str, database: str | None) -> None:
    refuse_url(session)
    form = ["--json"] if session.out.json else ["--quiet"] if session.out.quiet else []
    execute_daemon("db", *form, word, options=[("--db", database)])
