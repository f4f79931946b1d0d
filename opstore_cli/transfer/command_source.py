"""The output of a command as the source of a push, which is refused if the command fails."""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import BinaryIO, cast

from opstore_cli.transfer.source import Source
from opstore_daemon.protocol import errors

GRACE = 5.0  # seconds that the command has to end after a signal, before the next stronger one
MAX_SHOWN = 200  # characters of the command in an error

# Signals that end this process, which then ends the command first. Ctrl-C reaches the command by itself.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class CommandOutput(Source):
    """The standard output of a running command."""

    def __init__(self, process: "subprocess.Popen[bytes]", command: Sequence[str]) -> None:
        super().__init__(cast(BinaryIO, process.stdout), "the output of the command")
        self._process, self._command = process, command

    def check_unchanged(self) -> None:
        """Wait for the end of the command. Raises CommandFailed unless it succeeds."""
        code = self._process.wait()
        if code != 0:
            raise _failure(
                self._command, f"it was killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
            )


class _Ended(BaseException):
    """This process received a signal that ends it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def run_command(command: Sequence[str]) -> Iterator[CommandOutput]:
    """Start the command, without a shell, and yield its output. It is ended if the context fails.

    Its standard input and error are those of this process. Raises CommandFailed if it can't be started.
    """
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    except (OSError, ValueError) as error:
        failure = _failure(command, f"it can't be started: {errors.reason(error)}")
        if len(command) == 1 and " " in command[0]:
            failure.advice = "there is no shell: give its words one by one, without quotes, or use: sh -c '...'"
        raise failure from None
    try:
        with _ending_signals_raised():
            try:
                yield CommandOutput(process, command)
            except BaseException as failure:
                _end(process, has_signal=isinstance(failure, KeyboardInterrupt))
                raise
            finally:
                if process.stdout is not None:
                    process.stdout.close()
    except _Ended as ended:
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
        raise  # not reached, unless somebody blocks the signal


@contextlib.contextmanager
def _ending_signals_raised() -> Iterator[None]:
    """Raise _Ended where this process receives a signal that would end it; one that is ignored stays so."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise _Ended(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
