"""The process of a local daemon: proven by the lock that it holds, before it gets a signal.

A process id alone proves nothing: the process may have ended and its id been given to another, and in another PID
namespace or on another machine the id means another process.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from opstore_cli.local.runtime import LocalDaemon
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.runtime_file import LOCK_FILE
from opstore_daemon.system import namespaces


class UnprovenProcess(Exception):
    """The process is not proven to be the daemon; the text says why."""


class DaemonProcess:
    """The process that holds a home's lock. As a context manager, it keeps the process id from being given to another.

    Raises UnprovenProcess when it is entered.
    """

    def __init__(self, home: Path, daemon: LocalDaemon) -> None:
        self._lock = home / LOCK_FILE
        self._daemon = daemon

    def __enter__(self) -> "DaemonProcess":
        if sys.platform != "linux" or not hasattr(signal, "pidfd_send_signal"):
            raise UnprovenProcess("this system can't tell which process holds a lock")
        other = self._elsewhere()
        if other:
            raise UnprovenProcess(f"process {self._daemon.pid} belongs to {other}")
        try:
            # First: afterwards the process id can't be reused.
            self._pidfd = os.pidfd_open(self._daemon.pid)
        except (ProcessLookupError, OverflowError):
            raise UnprovenProcess(f"there is no process {self._daemon.pid} here") from None
        except OSError as error:
            raise UnprovenProcess(f"pidfd_open({self._daemon.pid}) failed: {errors.reason(error)}") from None
        if not self._holds_lock():
            os.close(self._pidfd)
            raise UnprovenProcess(f"process {self._daemon.pid} is not proven to hold {self._lock}")
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._pidfd)

    def _elsewhere(self) -> str:
        """Return where the process id is valid if not here, else an empty text."""
        if self._daemon.pid_namespace not in ("", namespaces.pid_namespace()):
            return "another PID namespace"
        return f"the machine {self._daemon.host}" if self._daemon.host not in ("", namespaces.host_name()) else ""

    def _holds_lock(self) -> bool:
        process = Path(f"/proc/{self._daemon.pid}")
        try:
            lock = self._lock.lstat()
            descriptors = list((process / "fd").iterdir())
        except OSError:
            return False
        for descriptor in descriptors:
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), lock):
                    lines = (process / "fdinfo" / descriptor.name).read_text().splitlines()
                    if any(line.startswith("lock:") and "FLOCK" in line and "WRITE" in line for line in lines):
                        return True
        return False

    @property
    def is_stopped(self) -> bool:
        """Whether the process was stopped by SIGSTOP, Ctrl-Z or a debugger."""
        try:
            fields = Path(f"/proc/{self._daemon.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return fields[:1] in (["T"], ["t"])

    def terminate(self) -> None:
        """Send SIGTERM, on which the daemon finishes its requests and ends; continue it if it is stopped."""
        for number in (signal.SIGTERM, signal.SIGCONT):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


def is_stopped(home: Path, daemon: LocalDaemon) -> bool:
    """Return whether the daemon's process is proven, and was stopped by a signal or a debugger."""
    try:
        with DaemonProcess(home, daemon) as process:
            return process.is_stopped
    except UnprovenProcess:
        return False
