"""`opstore restart`: restart the local daemon with this version of the program."""

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import write_started
from opstore_cli.console.options import refuse_url
from opstore_cli.console.session import Session


@command("restart")
def restart(session: Session) -> None:
    """Restart the local daemon with this version of opstore, or start it if none is running. Prints its URL.

    \b
    Examples:
      opstore restart
    """
    from opstore_cli.local import daemon

    refuse_url(session)
    home = session.home()
    write_started(session, daemon.restart(home), home, "restarted")
