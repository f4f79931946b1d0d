"""`opstore start`: start the local daemon in the background."""

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import write_started
from opstore_cli.console.options import refuse_url
from opstore_cli.console.session import Session


@command("start")
def start(session: Session) -> None:
    """Start the local daemon in the background, unless it is running. Prints its URL.

    \b
    Examples:
      opstore start
      OPSTORE_HOME=/srv/opstore opstore start

    You rarely need this: other commands start the daemon when they need it, unless OPSTORE_NO_AUTOSTART is set.
    """
    from opstore_cli.local import daemon

    refuse_url(session)
    home = session.home()
    running = daemon.ensure_running(home)
    write_started(session, running, home, "started" if running.started else "already running")
