"""`opstore status`: whether the daemon runs, and where."""

from typing import TYPE_CHECKING

from opstore_cli.context import Session, command
from opstore_cli.output import exact
from opstore_cli.running import not_running, say_state, state, warn_of_version
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.config import Settings


@command("status")
def status(session: Session) -> int:
    """Say whether the daemon runs, and where. It is the daemon that a URL is set for, else the local one, which is not
    started for this. The exit code is 7 where none runs. Each line is a key and its value; with -q it is the URL.
    "credential" is where the token for it comes from.

    \b
    Examples:
      opstore status
      opstore status --json
      opstore status -q || opstore start
    """
    settings = session.settings()
    return _local(session, settings) if settings.url is None else _remote(session, settings)


def _local(session: Session, settings: "Settings") -> int:
    from opstore_cli import local_daemon

    running = local_daemon.find(settings.home)
    if running is None:
        return _none_runs(session, None, errors.DaemonNotRunning(home=str(settings.home)))
    say_state(session, {**state(running, settings.home), "credential": _source(settings)})
    warn_of_version(session, running.version)
    return 0


def _remote(session: Session, settings: "Settings") -> int:
    try:
        found = session.client(settings).status()
    except errors.Unreachable as error:
        return _none_runs(session, settings.url, error)
    document = {
        "running": True,
        "url": settings.url,
        "pid": found.pid,
        "version": found.version,
        "home": found.home,
        "started_at": exact(found.started_at),
        "schema": found.schema,
        "credential": _source(settings),
    }
    say_state(session, document)
    return 0


def _source(settings: "Settings") -> str | None:
    """Where the token for the daemon comes from: `login`, the name of a variable, or the token file."""
    from opstore_cli.target import credential

    found = credential(settings)
    return None if found is None else found.source


def _none_runs(session: Session, url: str | None, error: errors.OpStoreError) -> int:
    if session.out.json:
        home = error.details.get("home") if url is None else None
        session.out.document({**not_running(url=url, home=home), "reason": error.text})
    else:
        session.out.error(error)
    return error.exit_code
