"""The output of a command as the source of a push, which is refused if the command fails."""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from opstore_cli.processes import ending, starting
from opstore_cli.processes.ending_signals import EndingSignals
from opstore_cli.transfer.source import Source
from opstore_daemon.protocol import errors

GRACE = 5.0  # seconds that the output has to end after the command
POLL_INTERVAL = 0.5  # seconds between two looks at whether the command has ended


class CommandOutput(Source):
    """The standard output of a running command."""

    def __init__(self, process: "subprocess.Popen[bytes]", command: Sequence[str]) -> None:
        super().__init__(cast(BinaryIO, process.stdout), "the output of the command")
        self._process, self._command = process, command

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises CommandFailed if they don't end although the command has ended."""
        # On Windows, select() is for sockets only.
        while os.name == "posix" and not self._has_output(POLL_INTERVAL):
            if self._process.poll() is not None and not self._has_output(GRACE):
                self.check_unchanged()
                failure = _failure(self._command, "it ended, but a process that it started still has its output open")
                failure.advice = "let the command wait for that process, or redirect the output of that process"
                raise failure
        return super().read(size)

    def _has_output(self, timeout: float) -> bool:
        """Return whether there are bytes to read, or the end, within this many seconds."""
        return bool(select.select([self.fileno()], [], [], timeout)[0])

    def check_unchanged(self) -> None:
        """Wait for the end of the command. Raises CommandFailed unless it succeeds."""
        code = self._process.wait()
        if code != 0:
            reason = f"it was killed by {starting.signal_name(-code)}" if code < 0 else f"exit code {code}"
            raise _failure(self._command, reason)


@contextlib.contextmanager
def run_command(command: Sequence[str]) -> Iterator[CommandOutput]:
    """Start the command, without a shell, and yield its output. It is ended if the context fails.

    Its standard input and error are those of this process. Raises CommandFailed if it can't be started.
    """
    with EndingSignals() as signals:
        process = _start(command)

        def forward(number: int) -> None:
            if number != signal.SIGINT:  # Ctrl-C reaches the command by itself
                process.terminate()

        try:
            signals.release(forward)
            yield CommandOutput(process, command)
        except BaseException:
            signals.hold()
            ending.end(process, process.terminate, process.kill, has_signal=signals.has_received)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        return starting.start(command, stdout=subprocess.PIPE)
    except errors.CommandNotStarted as error:
        failure = _failure(command, f"it can't be started: {error.details['reason']}")
        failure.advice = error.advice
        raise failure from None


def _failure(command: Sequence[str], reason: str) -> errors.CommandFailed:
    return errors.CommandFailed(command=starting.shorten(command), reason=reason)
