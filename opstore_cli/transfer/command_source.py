"""The output of a command as the source of a push, which is refused if the command fails."""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, BinaryIO, Self, cast

from opstore_cli.transfer.source import Source
from opstore_daemon.protocol import errors

GRACE = 5.0  # seconds that the command has to end after a signal, before the next stronger one
POLL_INTERVAL = 0.5  # seconds between two looks at whether the command has ended
MAX_SHOWN = 200  # characters of the command in an error

# The signals that end this process, and how they are usually handled. Ctrl-C reaches the command by itself.
_ENDING = {
    getattr(signal, name): signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
}


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
            raise _failure(
                self._command, f"it was killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
            )


@contextlib.contextmanager
def run_command(command: Sequence[str]) -> Iterator[CommandOutput]:
    """Start the command, without a shell, and yield its output. It is ended if the context fails.

    Its standard input and error are those of this process. Raises CommandFailed if it can't be started.
    """
    with _EndingSignals() as signals:
        process = _start(command)
        try:
            signals.release(process)
            yield CommandOutput(process, command)
        except BaseException as failure:
            signals.hold()
            _end(process, has_signal=isinstance(failure, KeyboardInterrupt | _Ended))
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    except (OSError, ValueError) as error:
        failure = _failure(command, f"it can't be started: {errors.reason(error)}")
        if len(command) == 1 and " " in command[0]:
            failure.advice = "there is no shell: give its words one by one, without quotes, or use: sh -c '...'"
        raise failure from None


class _Ended(BaseException):
    """This process received a signal that ends it."""


class _EndingSignals:
    """The signals that end this process: each ends the command and raises an exception.

    They are held back until `release` and from `hold` on, since one that interrupts the start or the end of the command
    would leave it running. At the end of the context they have their usual effect. A signal that is ignored stays
    ignored.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None  # None: held back
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _ENDING.items():
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: object, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received is not None and kind is not KeyboardInterrupt:
            signal.raise_signal(self._received)

    def hold(self) -> None:
        """Hold back the signals from here on."""
        self._process = None

    def release(self, process: "subprocess.Popen[bytes]") -> None:
        """End the process and raise KeyboardInterrupt or _Ended where a signal arrives, or now if one was held back."""
        self._process = process
        if self._received is not None:
            self._receive(self._received)

    def _receive(self, number: int, _frame: FrameType | None = None) -> None:
        self._received = number
        if self._process is not None:
            # Python discards an exception that is raised in a destructor: then the push fails as the command does.
            if number != signal.SIGINT:
                self._process.terminate()
            raise KeyboardInterrupt if number == signal.SIGINT else _Ended


def _end(process: "subprocess.Popen[bytes]", *, has_signal: bool) -> None:
    """End the command: ask it to, unless it `has_signal` already, ask it (again), then kill it."""
    steps = [lambda: None] if has_signal else [process.terminate]
    for step in (*steps, process.terminate, process.kill):
        step()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            return


def _failure(command: Sequence[str], reason: str) -> errors.CommandFailed:
    shown = shlex.join(command)
    return errors.CommandFailed(command=shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}...", reason=reason)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"the signal {number}"
