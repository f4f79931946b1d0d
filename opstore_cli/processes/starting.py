"""Start a command without a shell, and describe it in errors."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from opstore_daemon.protocol import errors

MAX_SHOWN = 200  # characters of the command in an error

_NO_SHELL = "there is no shell: give its words one by one, without quotes, or use: sh -c '...'"


def start(words: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Start the command with these options of Popen. Raises CommandNotStarted."""
    try:
        return subprocess.Popen(words, bufsize=0, **options)
    except (OSError, ValueError) as error:
        raise _failure(words, errors.reason(error)) from None


def check_startable(words: Sequence[str]) -> None:
    """Raise CommandNotStarted if there is no program to start, before anything is done for it."""
    program = words[0]
    if shutil.which(program) is None:
        is_there = os.path.dirname(program) != "" and os.path.isfile(program)
        raise _failure(words, "Permission denied" if is_there else "No such file or directory")


def shorten(words: Sequence[str]) -> str:
    """Return the command as one would type it, cut if it is long."""
    shown = shlex.join(words)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGTERM."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"the signal {number}"


def _failure(words: Sequence[str], reason: str) -> errors.CommandNotStarted:
    failure = errors.CommandNotStarted(command=shorten(words), reason=reason)
    program = words[0]
    if len(words) == 1 and " " in program:
        failure.advice = _NO_SHELL
    elif os.path.dirname(program) == "" and os.path.isfile(program):
        failure.advice = f"for the file in this folder: {shlex.quote(os.path.join(os.curdir, program))}"
    elif os.path.isfile(program) and not os.access(program, os.X_OK):
        failure.advice = f"to make it executable: chmod +x {shlex.quote(program)}"
    elif os.path.isfile(program):
        failure.advice = "its first line has to name a program that runs it, such as: #!/bin/sh"
    return failure
