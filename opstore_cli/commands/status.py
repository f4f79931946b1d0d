"""`opstore status`: show whether the daemon runs, and where."""

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import local_state, not_running, reason_of, warn_of_version, write_state
from opstore_cli.console.session import Session
from opstore_cli.console.unfinished_transfers import describe, list_unfinished
from opstore_cli.output.cells import format_time
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.config.settings import Settings
    from opstore_daemon.protocol.records import Status


@command("status")
def status(session: Session) -> int:
    """Show which daemon commands use, and its state. If it is not running, the exit code is 7.

    \b
    Examples:
      opstore status
      opstore status --json
      opstore status -q || opstore start

    The daemon is that of --url, OPSTORE_URL or a settings file, else the local one. "because" says which of them
    applies, "credential" where the token comes from. Behind a load balancer, "host" and "pid" say which daemon
    answered. "garbage" is what no version refers to, and "trash" what was collected and is not deleted yet. Unfinished
    transfers are listed with the command that resumes each.

    status never starts the daemon. -q prints the URL. Off a terminal, sizes are in bytes.
    """
    settings = session.settings()
    return _local(session, settings) if settings.url is None else _remote(session, settings)


def _local(session: Session, settings: "Settings") -> int:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.local import lookup, runtime
    from opstore_daemon.protocol import restore_marker

    home = settings.home
    restore = restore_marker.read(home)
    try:
        running = lookup.find(home, lookup.BRIEF) if restore is None else None
    except (errors.LocalDaemonUnreachable, errors.ProofFailed) as error:
        return _unreachable(session, settings, error, {**local_state(runtime.recorded(home), home), "running": True})
    if running is None:
        if restore is not None:
            reason = restore.error(home)
            session.out.warn(f"no daemon starts: {reason.text}; {reason.advice}")
        none = errors.DaemonNotRunning(home=str(home))
        return _unreachable(session, settings, none, local_state(None, home))
    # Not the session's client, which would note another version of the daemon as well, and start one if it has ended.
    with OpStoreClient(settings=replace(settings, autostart=False)) as client:
        unfinished = list_unfinished(settings.home, None, client)
        found = None
        with suppress(errors.OpStoreError):
            found = client.status()
        sizes = {**_sizes(found), **_garbage(session, client)}
    write_state(
        session, {**local_state(running, settings.home), **_chosen(settings), **sizes, "unfinished": unfinished}
    )
    warn_of_version(session, running.version)
    _tip(session, sizes)
    return 0


def _remote(session: Session, settings: "Settings") -> int:
    client = session.client(settings)
    try:
        found = client.status()
    except errors.Unreachable as error:
        return _unreachable(session, settings, error, not_running(url=settings.url))
    sizes = {**_sizes(found), **_garbage(session, client)}
    document = {
        "running": True,
        "url": settings.url,
        "pid": found.pid,
        "version": found.version,
        "home": found.home,
        "started_at": format_time(found.started_at),
        "schema": found.schema,
        "host": found.host,
        **_chosen(settings),
        **sizes,
        "unfinished": list_unfinished(settings.home, settings.url, client),
    }
    write_state(session, document)
    _tip(session, sizes)
    return 0


def _chosen(settings: "Settings") -> dict[str, Any]:
    """Return why this daemon is used, and where the token for it comes from."""
    return {"because": reason_of(settings), "credential": _source(settings)}


def _sizes(found: "Status | None") -> dict[str, Any]:
    """Return what the store has, in numbers and bytes; None: unknown."""
    names = ("ops", "versions", "database_size", "blobs_size")
    return {name: None if found is None else getattr(found, name) for name in names}


def _garbage(session: Session, client: "OpStoreClient") -> dict[str, int | None]:
    """Return the bytes that no version refers to, and those in the trash; None: unknown. Warn of a storage that fails.

    It is the one request of the command that needs the storage of the bytes, of which all others say nothing.
    """
    try:
        found = client.collect_garbage(grace=0, dry_run=True)
    except errors.OpStoreError as error:
        if isinstance(error, errors.StorageFailed):
            session.out.warn(f"{error.text}; {error.advice}" if error.advice else error.text)
        return {"garbage_size": None, "trash_size": None}
    garbage = found.garbage_size + found.waiting_size + found.uploads_size + found.drafts_size
    # The trash of a dry run includes what would be moved there.
    return {"garbage_size": garbage, "trash_size": found.trash_size - found.garbage_size + found.purged_size}


def _tip(session: Session, sizes: dict[str, Any]) -> None:
    if sizes["garbage_size"] or sizes["trash_size"]:
        session.out.tip("opstore gc --dry-run shows what can be freed")


def _source(settings: "Settings") -> str | None:
    """Return the source of the token for the daemon: `login`, the name of a variable, or the token file."""
    from opstore_cli.transport.target import credential

    found = credential(settings)
    return None if found is None else found.source


def _unreachable(session: Session, settings: "Settings", error: errors.OpStoreError, document: dict[str, Any]) -> int:
    unfinished = list_unfinished(settings.home, settings.url, None)
    if session.out.json:
        because = reason_of(settings)
        session.out.write_json({**document, "because": because, "reason": error.text, "unfinished": unfinished})
    else:
        session.out.error(error)
        if settings.url is not None:
            session.out.note(f"commands use this daemon, because {reason_of(settings)}")
        for transfer in unfinished:
            session.out.note(f"unfinished: {describe(transfer)}")
    return error.exit_code
