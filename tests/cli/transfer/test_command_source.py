"""The end of a command whose output is pushed."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from opstore_cli.processes import ending
from opstore_cli.transfer import command_source
from opstore_cli.transfer.command_source import run_command
from opstore_daemon.protocol import errors

COMMAND = (sys.executable, "-c", "import signal; signal.pause()")


@pytest.mark.parametrize(("number", "ends_by"), [(signal.SIGINT, []), (signal.SIGTERM, [signal.SIGTERM])])
def test_a_signal_while_the_command_starts_ends_it(
    number: signal.Signals, ends_by: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen, raise_signal = subprocess.Popen, signal.raise_signal
    received: list[int] = []

    def start(*args: Any, **options: Any) -> "subprocess.Popen[bytes]":
        started.append(popen(*args, **options))
        raise_signal(number)
        return started[0]

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setattr(ending, "GRACE", 1.0)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(signal, "raise_signal", received.append)
    try:
        with pytest.raises(BaseException) as caught, run_command(COMMAND):  # noqa: PT011
            pytest.fail("the command was used after the signal")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (caught.type is KeyboardInterrupt, received) == (number == signal.SIGINT, ends_by)
    assert started[0].returncode is not None


@pytest.mark.parametrize(("code", "reason"), [(0, "still has its output open"), (3, "exit code 3")])
def test_output_that_stays_open_after_the_command_is_refused(
    code: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_source, "GRACE", 0.1)
    monkeypatch.setattr(command_source, "POLL_INTERVAL", 0.1)
    output: list[bytes] = []
    command = ["sh", "-c", f"sleep 20 & echo $!; exit {code}"]
    try:
        with run_command(command) as source, pytest.raises(errors.CommandFailed, match=reason):
            output.extend(iter(lambda: source.read(100), b""))
    finally:
        os.kill(int(b"".join(output)), signal.SIGKILL)
