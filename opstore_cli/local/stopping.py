"""Stop the local daemon: by a request, or by a signal to a process that is proven to be the daemon."""

from http import HTTPStatus
from pathlib import Path

from opstore_cli.local import lookup, proof, runtime
from opstore_cli.local.lookup import unreachable
from opstore_cli.local.process import DaemonProcess, UnprovenProcess
from opstore_cli.local.runtime import LocalDaemon
from opstore_daemon.protocol import errors

STOP_TIMEOUT = 40.0  # seconds until a daemon that stops has finished its requests and released its lock


def stop(home: Path) -> bool:
    """Stop the daemon and wait until it has released the home. Return whether one ran.

    Raises LocalDaemonUnreachable if it does not stop, or if it can't be asked and its process can't be proven to be
    the daemon; UntrustedHome and InvalidSetting.
    """
    try:
        daemon = lookup.find(home)
    except (errors.LocalDaemonUnreachable, errors.ProofFailed, errors.InvalidSetting) as failure:
        # InvalidSetting: the token file was deleted or damaged.
        daemon = runtime.recorded(home)
        if daemon is None:
            raise
        _terminate(home, daemon, failure)
    else:
        if daemon is None:
            return False
        _request(home, daemon)
    if not lookup.wait(lambda: _is_gone(home, daemon), STOP_TIMEOUT):
        reason = f"it is still running {STOP_TIMEOUT:.0f} s after the request to stop (pid {daemon.pid})"
        raise unreachable(home, reason, f"{home / runtime.LOG_FILE} may say what it does", daemon)
    return True


def _request(home: Path, daemon: LocalDaemon) -> None:
    """Ask the daemon to stop; it may have ended in the meantime."""
    token = runtime.read_secret(home, daemon)
    try:
        with lookup.connect(daemon) as sock:
            # This connection is another one than that of the proof before.
            if not proof.knows_token(sock, daemon.secret(token)):
                raise errors.ProofFailed(url=daemon.url)
            status = proof.request_stop(sock, token)
    except OSError as error:
        failure = unreachable(home, f"{daemon.url} failed: {errors.reason(error)}", "opstore status", daemon)
        if not lookup.wait(lambda: _is_gone(home, daemon), lookup.SETTLE_TIMEOUT):
            _terminate(home, daemon, failure)
        return
    if status != HTTPStatus.ACCEPTED:
        # An older release can't be stopped by a request.
        reason = f"opstore {daemon.version} at {daemon.url} refused to stop (HTTP {status})"
        _terminate(home, daemon, unreachable(home, reason, f"stop process {daemon.pid}, where it runs", daemon))


def _terminate(home: Path, daemon: LocalDaemon, failure: errors.OpStoreError) -> None:
    """Send SIGTERM to the daemon's process; raise the failure, with the reason, if it is not proven."""
    try:
        with DaemonProcess(home, daemon) as process:
            process.terminate()
    except UnprovenProcess as unproven:
        reason = f"{failure.details.get('reason', failure.text)}. No signal was sent: {unproven}"
        raise unreachable(home, reason, failure.advice, daemon) from None


def _is_gone(home: Path, daemon: LocalDaemon) -> bool:
    """Return whether the daemon has released the home, or another one holds it."""
    holder = runtime.read_holder(home)
    return holder is None or (holder.daemon is not None and holder.daemon != daemon)
