"""`opstore token`: print the local daemon's token, for a client on another machine."""

import os
import sys

from opstore_cli.console.command import command
from opstore_cli.console.options import refuse_url
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors


@command("token")
def token(session: Session) -> None:
    """Print the token of the local daemon, for `opstore login` on another machine or in another account.

    \b
    Examples:
      opstore token | ssh build opstore login https://models.example.com
      opstore token --json

    Commands of your own account on this machine don't need it. Anyone who has the token has full access to the store:
    pass it on through a pipe, or in a file that others can't read.
    """
    from opstore_cli.local import lookup, runtime
    from opstore_daemon.protocol.home_trust import check_home

    refuse_url(session)
    home = session.home()
    check_home(home)
    recorded = runtime.recorded(home)
    path = runtime.token_path(home, recorded)
    if not os.path.lexists(path):
        raise errors.TokenNotFound(path=str(path))
    secret = runtime.read_secret(home, recorded)
    running = lookup.find(home, lookup.BRIEF) if session.out.json else None
    document = {"token": secret, "url": None if running is None else running.url, "path": str(path)}
    session.out.write_result(document, quiet=[secret], full=[secret])
    if os.environ.get("OPSTORE_URL"):
        session.out.warn("OPSTORE_URL is set: this is the token of the local daemon, not of that one")
    if sys.stdout is not None and sys.stdout.isatty():
        session.out.warn("anyone who sees this token has full access to the store; clear the screen")
