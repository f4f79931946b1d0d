"""`opstore stop`: stop the local daemon."""

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import not_running
from opstore_cli.console.options import refuse_url
from opstore_cli.console.session import Session


@command("stop")
def stop(session: Session) -> None:
    """Stop the local daemon, and wait until it has stopped. If none is running, the exit code is 0 too.

    \b
    Examples:
      opstore stop
    """
    from opstore_cli.local import stopping

    refuse_url(session)
    home = session.home()
    stopped = stopping.stop(home)
    session.out.write_result(not_running(home=str(home)), quiet=[], full=[])
    session.out.note("stopped the local daemon" if stopped else f"no daemon runs for {home}")
