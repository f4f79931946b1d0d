"""Finds, starts and stops the local daemon: the one whose data folder is OPSTORE_HOME."""

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

ANSWER_WITHIN = 5.0  # seconds for the proof
STOP_WITHIN = 40.0  # seconds until a daemon that was told to stop has let go of its lock
FIRST_WAIT, LONGEST_WAIT = 0.01, 0.25  # seconds between two looks at the lock


@dataclass(frozen=True, slots=True)
class LocalDaemon:
    """A local daemon. `version` is that of its opstore; `started` whether this call started it."""

    url: str
    pid: int
    port: int
    version: str
    started_at: str = ""
    started: bool = False


class _RuntimeFile(msgspec.Struct):
    """What the daemon writes into daemon.json."""

    url: str
    pid: int
    port: int
    version: str
    started_at: str = ""


def read_runtime_file(home: Path) -> LocalDaemon | None:
    """What the runtime file says, whether or not that daemon still runs; None where there is none to read."""
    try:
        with (home / RUNTIME_FILE).open("rb") as file:
            said = records.decoder(_RuntimeFile).decode(file.read(tokens.MAX_FILE))
        url = urls.check_url(said.url, RUNTIME_FILE)
    except (OSError, ValueError, msgspec.DecodeError, errors.InvalidSetting):
        return None
    if said.pid <= 1 or not urls.is_loopback(url) or (urlsplit(url).port or urls.PORTS["http"]) != said.port:
        return None
    return LocalDaemon(url, said.pid, said.port, said.version, said.started_at)


def read_secret(home: Path) -> str:
    """The local daemon's token; raises InvalidSetting."""
    return tokens.read_token(home / TOKEN_FILE, "the token file")


def find(home: Path) -> LocalDaemon | None:
    """The daemon that runs for this home and proves it, or None.

    None also where a stranger answers on the port that the runtime file names.
    """
    running = read_runtime_file(home)
    if running is None:
        return None
    host = urlsplit(running.url).hostname or ""
    try:
        token = read_secret(home)
        with socket.create_connection((host, running.port), timeout=ANSWER_WITHIN) as sock:
            return running if proof.knows_token(sock, token) else None
    except (OSError, errors.InvalidSetting):
        return None


def ensure_running(home: Path) -> LocalDaemon:
    """The running daemon, started in the background where none runs: by exactly one of those who ask at once.

    Raises DaemonDidNotStart, and InvalidSetting where the home can't be made or has no file locks.
    """
    running = find(home)
    if running is not None:
        return running
    _make_home(home)
    with _start_lock(home):
        # Whoever held the lock before may have started it.
        running = _find_or_wait_until_gone(home)
        return running if running is not None else _start(home)


def start(home: Path) -> LocalDaemon:
    """The same as `ensure_running`: starting is idempotent."""
    return ensure_running(home)


def stop(home: Path) -> bool:
    """Stops the daemon and waits until it has let go of the home. Returns whether one ran.

    Raises DaemonUnreachable where one holds the home and can't be stopped: it proves nothing, or goes on.
    """
    running = find(home)
    if running is None:
        if not is_locked(home):
            return False
        # It is starting or stopping at this moment.
        running = _find_or_wait_until_gone(home)
        if running is None:
            return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    if not _wait(lambda: not is_locked(home), STOP_WITHIN):
        reason = f"it was told to stop and still runs (pid {running.pid})"
        raise errors.DaemonUnreachable(url=running.url, reason=reason)
    return True


def restart(home: Path) -> LocalDaemon:
    """Stops the daemon, if one runs, and starts it; as `stop` and `ensure_running`."""
    stop(home)
    return ensure_running(home)


def _start(home: Path) -> LocalDaemon:
    from opstore_cli.local import launcher

    log = home / LOG_FILE
    try:
        ready = launcher.launch(home, log)
    except errors.DaemonDidNotStart:
        # Another may have taken the home meanwhile: `opstore serve`, or one whose starter was interrupted.
        running = _find_or_wait_until_gone(home)
        if running is None:
            raise
        return running
    running = find(home)
    if running is None:
        reason = f"it said that it listens at {ready}, and nothing there knows the token"
        raise errors.DaemonDidNotStart(reason=reason, log=str(log))
    return replace(running, started=True)


def _find_or_wait_until_gone(home: Path) -> LocalDaemon | None:
    """The running daemon; None where no daemon holds the home, if need be after the last one has stopped."""
    found: list[LocalDaemon] = []

    def settled() -> bool:
        running = find(home)
        if running is not None:
            found.append(running)
        return running is not None or not is_locked(home)

    if not _wait(settled, STOP_WITHIN):
        reason = f"a daemon holds {home / DAEMON_LOCK} and does not answer"
        raise errors.DaemonDidNotStart(reason=reason, log=str(home / LOG_FILE))
    return found[0] if found else None


def is_locked(home: Path) -> bool:
    """Whether a daemon holds the home. Looks by a shared lock, so that those who look never see each other."""
    try:
        with LockedFile.try_acquire(home / DAEMON_LOCK, create=False, shared=True) as lock:
            return lock is None
    except OSError:
        return False


@contextlib.contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(LockedFile.acquire(home / START_LOCK))
        except OSError as error:
            raise _unusable(home, error) from None
        yield


def _make_home(home: Path) -> None:
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(home, error) from None


def _unusable(home: Path, error: OSError) -> errors.InvalidSetting:
    return errors.InvalidSetting(setting=f"OPSTORE_HOME ({home})", reason=errors.reason(error))


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    """Asks until it is done or the time is over. The kernel tells nobody that a lock was let go of."""
    deadline, pause = time.monotonic() + seconds, FIRST_WAIT
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_WAIT)
    return True
