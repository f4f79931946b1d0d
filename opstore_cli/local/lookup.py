"""Find the daemon of a home: the process that holds its lock, and that proves at its address that it is that one."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from opstore_cli.local import process, proof, runtime
from opstore_cli.local.runtime import Holder, LocalDaemon
from opstore_daemon.protocol import errors, restore_marker
from opstore_daemon.protocol.home_trust import check_home
from opstore_daemon.protocol.runtime_file import LOCK_FILE
from opstore_daemon.system import namespaces

START_TIMEOUT = 40.0  # seconds that a daemon may take to publish its address, or to end with the requests that it has
BRIEF = 5.0  # seconds, for a command that only reports what it finds
PROOF_TIMEOUT = 5.0  # seconds
SILENT_TRIES = 2  # how often a daemon that does not respond is asked, unless its process is stopped
SETTLE_TIMEOUT = 1.0  # seconds that a lock may outlive its daemon's port
MIN_POLL, MAX_POLL = 0.01, 0.25  # seconds between two polls of the lock


def find(home: Path, patience: float = START_TIMEOUT) -> LocalDaemon | None:
    """Return the running daemon of this home; None if none holds the home.

    Waits up to `patience` seconds for a daemon that is starting or stopping. Raises LocalDaemonUnreachable if a daemon
    holds the home and can't be reached, ProofFailed if another program is at its address, RestoreUnfinished,
    UntrustedHome and InvalidSetting.
    """
    check_home(home)
    deadline = time.monotonic() + patience
    while True:
        holder = _published(home, deadline)
        if holder is None:
            return None
        if holder.daemon is None:
            raise _not_published(home, patience)
        failure = _failure(home, holder.daemon)
        if failure is None:
            return holder.daemon
        # It may have stopped meanwhile, and another one may have started.
        if not _changes(home, holder):
            raise failure


def _changes(home: Path, holder: Holder) -> bool:
    """Return whether the holder lets go of the home, or publishes another address, within a moment."""
    return wait(lambda: runtime.read_holder(home) != holder, SETTLE_TIMEOUT)


def _published(home: Path, deadline: float) -> Holder | None:
    """Return the holder once it has published its address, or at the deadline without one; None if there is none."""
    found = runtime.read_holder(home)

    def settled() -> bool:
        nonlocal found
        found = runtime.read_holder(home)
        return found is None or found.daemon is not None

    if found is not None and found.daemon is None:
        restore_marker.check(home)  # it is a restore that holds the home
        wait(settled, deadline - time.monotonic())
    return found


def _failure(home: Path, daemon: LocalDaemon) -> errors.OpStoreError | None:
    """Return why the daemon can't be used; None if it proves itself."""
    for _ in range(SILENT_TRIES):
        try:
            secret = daemon.secret(runtime.read_secret(home, daemon))
            with connect(daemon) as sock:
                return None if proof.knows_token(sock, secret) else errors.ProofFailed(url=daemon.url)
        except TimeoutError:
            if process.is_stopped(home, daemon):
                return _stopped(home, daemon)
        except OSError as error:
            return _not_connected(home, daemon, errors.reason(error))
        except errors.InvalidSetting as error:
            # The daemon knows the token that the file had; a new one reads the file, or creates it.
            error.advice = "put the token back, or run opstore restart"
            return error
    reason = f"it does not respond at {_place(daemon)} within {SILENT_TRIES * PROOF_TIMEOUT:.0f} s"
    advice = f"opstore restart; {home / runtime.LOG_FILE} may say what it does"
    return unreachable(home, reason, advice, daemon)


def connect(daemon: LocalDaemon) -> socket.socket:
    """Return a connection to the daemon's address, with a timeout. Raises OSError."""
    return socket.create_connection((urlsplit(daemon.url).hostname or "", daemon.port), timeout=PROOF_TIMEOUT)


def _stopped(home: Path, daemon: LocalDaemon) -> errors.OpStoreError:
    reason = f"it does not respond at {daemon.url} within {PROOF_TIMEOUT:.0f} s: its process {daemon.pid} is stopped"
    advice = f"continue process {daemon.pid} (SIGCONT, or fg in its shell), or run opstore restart"
    return unreachable(home, reason, advice, daemon)


def _not_connected(home: Path, daemon: LocalDaemon, reason: str) -> errors.OpStoreError:
    is_here = daemon.host == namespaces.host_name()
    other = "in another network namespace" if is_here else f"on {daemon.host or 'another host'}"
    text = f"connecting to {_place(daemon)} failed: {reason}; it may run {other}"
    advice = f"run opstore where the daemon runs, or stop that one (opstore stop, there) to use {home} here"
    return unreachable(home, text, advice, daemon)


def unreachable(home: Path, reason: str, advice: str, daemon: LocalDaemon | None = None) -> errors.OpStoreError:
    """Return the error for a daemon that holds the home; `daemon`: None if it has published no address."""
    address = {} if daemon is None else {"url": daemon.url}
    return errors.LocalDaemonUnreachable(home=str(home), reason=reason, advice=advice, **address)


def _place(daemon: LocalDaemon) -> str:
    return f"{daemon.url} (pid {daemon.pid} on {daemon.host or 'an unknown host'})"


def _not_published(home: Path, patience: float) -> errors.OpStoreError:
    path = home / LOCK_FILE
    reason = f"a process holds {path}, and has published no address within {patience:.0f} s"
    advice = f"{home / runtime.LOG_FILE} may say why"
    return unreachable(home, reason, advice)


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until `condition` is true and return True; return False after `seconds`."""
    # There is no event for the release of a lock.
    deadline, pause = time.monotonic() + seconds, MIN_POLL
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, MAX_POLL)
    return True
