"""A command with all processes that it starts, in a session and a process group of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, cast

from opstore_cli.processes import ending
from opstore_cli.processes.starting import start

GRACE = 2.0  # seconds that the processes that a command left have to end, before they are killed
POLL_INTERVAL = 0.01  # seconds between two looks at whether they have


class ProcessGroup:
    """A running command that has no terminal and no input, and whose output and errors are one stream."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @classmethod
    def start(cls, words: Sequence[str], environment: Mapping[str, str]) -> "ProcessGroup":
        """Start the command. Raises CommandNotStarted."""
        return cls(
            start(
                words,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    @property
    def output(self) -> BinaryIO:
        """What the command prints."""
        return cast(BinaryIO, self._process.stdout)

    def wait(self, timeout: float | None) -> int | None:
        """Return the exit code of the command, below 0 the signal that killed it; None if it takes longer."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the group, of which none may be left."""
        if sys.platform == "win32":
            self._process.terminate()
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal processes that have ended
            os.killpg(self._process.pid, number)
            os.killpg(self._process.pid, signal.SIGCONT)  # a stopped process handles no signal until it continues

    def end(self, *, has_signal: bool = False) -> None:
        """End the command, which may have a signal already, and whatever it left in its group."""
        if self._process.returncode is None:
            ending.end(
                self._process,
                lambda: self.signal(signal.SIGTERM),
                lambda: self.signal(getattr(signal, "SIGKILL", signal.SIGTERM)),
                has_signal=has_signal,
            )
        if sys.platform != "win32":
            self._end_rest()

    def _end_rest(self) -> None:
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self._has_processes():
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                return
            time.sleep(POLL_INTERVAL)

    def _has_processes(self) -> bool:
        """Return whether a process of the group is left; its number is used for no other group until then."""
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, 0)
                return True
        return False
