"""Start the local daemon, the one whose data folder is OPSTORE_HOME, if none runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from opstore_cli.files.locks import LockedFile
from opstore_cli.local import lookup, stopping
from opstore_cli.local.runtime import LOG_FILE, LocalDaemon
from opstore_daemon.protocol import errors

START_LOCK = "start.lock"
STARTS = 3  # of a daemon that ends as soon as it listens
START_LOCK_TIMEOUT = 60.0  # seconds that another command may take to start the daemon


def ensure_running(home: Path) -> LocalDaemon:
    """Return the running daemon, and start it in the background if none runs.

    If several processes call this concurrently, exactly one starts it. Raises DaemonDidNotStart, what `lookup.find`
    raises, and InvalidSetting if the home can't be created or its file system has no locks.
    """
    running = lookup.find(home)
    if running is not None:
        return running
    _make_home(home)
    with _start_lock(home):
        # Another process may have started it while this one waited for the lock.
        running = lookup.find(home)
        return running if running is not None else _start(home)


def restart(home: Path) -> LocalDaemon:
    """Stop the daemon if one runs, and start it. Raises what `stop` and `ensure_running` raise."""
    stopping.stop(home)
    return ensure_running(home)


def _start(home: Path) -> LocalDaemon:
    from opstore_cli.local import launcher

    log, ready = home / LOG_FILE, ""
    for _ in range(STARTS):
        try:
            ready = launcher.launch(home, log)
        except errors.DaemonDidNotStart:
            # Another daemon may have locked the home meanwhile: `opstore serve`, or one whose starter was interrupted.
            running = lookup.find(home)
            if running is None:
                raise
            return running
        running = lookup.find(home)
        if running is not None:
            return replace(running, started=True)
        # Another command, such as `opstore restart`, has stopped it already.
    reason = f"it reported that it listens at {ready}, and has released the home"
    raise errors.DaemonDidNotStart(reason=reason, log=str(log))


@contextlib.contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    path = home / START_LOCK
    with contextlib.ExitStack() as stack:
        try:
            with _usable(path):
                stack.enter_context(LockedFile.acquire(path, START_LOCK_TIMEOUT))
        except errors.InvalidSetting as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            reason = f"another command that starts it holds {path} for {START_LOCK_TIMEOUT:.0f} s"
            raise errors.DaemonDidNotStart(reason=reason, log=str(home / LOG_FILE)) from None
        yield


def _make_home(home: Path) -> None:
    with _usable(home):
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)


def _usable(home: Path) -> contextlib.AbstractContextManager[None]:
    return errors.translated_writes(str(home), to=errors.InvalidSetting, setting=f"OPSTORE_HOME ({home})")
