"""Find, start and stop the local daemon: the one whose data folder is OPSTORE_HOME."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from opstore_cli.config import tokens, urls
from opstore_cli.files.locks import LockedFile
from opstore_cli.local import proof
from opstore_daemon.protocol import errors, records

RUNTIME_FILE = "daemon.json"
TOKEN_FILE = "token"  # noqa: S105 - a file's name
DAEMON_LOCK = "daemon.lock"
START_LOCK = "start.lock"
LOG_FILE = "daemon.log"

PROOF_TIMEOUT = 5.0  # seconds
STOP_TIMEOUT = 40.0  # seconds until a daemon that stops has released its lock
MIN_POLL, MAX_POLL = 0.01, 0.25  # seconds between two polls of the lock


@dataclass(frozen=True, slots=True)
class LocalDaemon:
    """A local daemon. `version` is its version of opstore; `started` says whether this call started it."""

    url: str
    pid: int
    port: int
    version: str
    started_at: str = ""
    started: bool = False


class _RuntimeFile(msgspec.Struct):
    """The content of daemon.json, which the daemon writes."""

    url: str
    pid: int
    port: int
    version: str
    started_at: str = ""


def read_runtime_file(home: Path) -> LocalDaemon | None:
    """Return the daemon in the runtime file, whether or not it still runs; None if there is no valid file."""
    try:
        with (home / RUNTIME_FILE).open("rb") as file:
            found = records.decoder(_RuntimeFile).decode(file.read(tokens.MAX_FILE))
        url = urls.check_url(found.url, RUNTIME_FILE)
    except (OSError, ValueError, msgspec.DecodeError, errors.InvalidSetting):
        return None
    if found.pid <= 1 or not urls.is_loopback(url) or (urlsplit(url).port or urls.PORTS["http"]) != found.port:
        return None
    return LocalDaemon(url, found.pid, found.port, found.version, found.started_at)


def read_secret(home: Path) -> str:
    """Return the local daemon's token. Raises InvalidSetting."""
    return tokens.read_token(home / TOKEN_FILE, "the token file")


def find(home: Path) -> LocalDaemon | None:
    """Return the running daemon of this home, or None.

    None also if another program listens on the port in the runtime file: the daemon has to prove that it knows the
    token.
    """
    running = read_runtime_file(home)
    if running is None:
        return None
    host = urlsplit(running.url).hostname or ""
    try:
        token = read_secret(home)
        with socket.create_connection((host, running.port), timeout=PROOF_TIMEOUT) as sock:
            return running if proof.knows_token(sock, token) else None
    except (OSError, errors.InvalidSetting):
        return None


def ensure_running(home: Path) -> LocalDaemon:
    """Return the running daemon, and start it in the background if none runs.

    If several processes call this concurrently, exactly one starts it. Raises DaemonDidNotStart, and InvalidSetting if
    the home can't be created or its file system has no locks.
    """
    running = find(home)
    if running is not None:
        return running
    _make_home(home)
    with _start_lock(home):
        # Another process may have started it while this one waited for the lock.
        running = _find_or_wait_until_unlocked(home)
        return running if running is not None else _start(home)


def start(home: Path) -> LocalDaemon:
    """Start the daemon if none runs, as `ensure_running` does, and return it."""
    return ensure_running(home)


def stop(home: Path) -> bool:
    """Stop the daemon and wait until it has released the home. Return whether one ran.

    Raises DaemonUnreachable if it does not stop, and DaemonDidNotStart if a process locks the home but does not prove
    that it is the daemon.
    """
    running = find(home)
    if running is None:
        if not is_locked(home):
            return False
        # It is just starting or stopping.
        running = _find_or_wait_until_unlocked(home)
        if running is None:
            return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    if not _wait(lambda: not is_locked(home), STOP_TIMEOUT):
        reason = f"it is still running after SIGTERM (pid {running.pid})"
        raise errors.DaemonUnreachable(url=running.url, reason=reason)
    return True


def restart(home: Path) -> LocalDaemon:
    """Stop the daemon if one runs, and start it. Raises what `stop` and `ensure_running` raise."""
    stop(home)
    return ensure_running(home)


def _start(home: Path) -> LocalDaemon:
    from opstore_cli.local import launcher

    log = home / LOG_FILE
    try:
        ready = launcher.launch(home, log)
    except errors.DaemonDidNotStart:
        # Another daemon may have locked the home meanwhile: `opstore serve`, or one whose starter was interrupted.
        running = _find_or_wait_until_unlocked(home)
        if running is None:
            raise
        return running
    running = find(home)
    if running is None:
        reason = f"it reported that it listens at {ready}, but the server there does not know the token"
        raise errors.DaemonDidNotStart(reason=reason, log=str(log))
    return replace(running, started=True)


def _find_or_wait_until_unlocked(home: Path) -> LocalDaemon | None:
    """Wait for the daemon that holds the home, and return it; return None if none holds it, or it has stopped."""
    found: list[LocalDaemon] = []

    def settled() -> bool:
        running = find(home)
        if running is not None:
            found.append(running)
        return running is not None or not is_locked(home)

    if not _wait(settled, STOP_TIMEOUT):
        reason = f"a daemon holds {home / DAEMON_LOCK} and does not respond"
        raise errors.DaemonDidNotStart(reason=reason, log=str(home / LOG_FILE))
    return found[0] if found else None


def is_locked(home: Path) -> bool:
    """Return whether a daemon holds the home. The lock that it tries is shared, so that checks can run concurrently."""
    try:
        with LockedFile.try_acquire(home / DAEMON_LOCK, create=False, shared=True) as lock:
            return lock is None
    except OSError:
        return False


@contextlib.contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        with _usable(home):
            stack.enter_context(LockedFile.acquire(home / START_LOCK))
        yield


def _make_home(home: Path) -> None:
    with _usable(home):
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)


def _usable(home: Path) -> contextlib.AbstractContextManager[None]:
    return errors.translated_writes(str(home), to=errors.InvalidSetting, setting=f"OPSTORE_HOME ({home})")


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until `condition` is true and return True; return False after `seconds`."""
    # There is no event for the release of a lock.
    deadline, pause = time.monotonic() + seconds, MIN_POLL
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, MAX_POLL)
    return True
