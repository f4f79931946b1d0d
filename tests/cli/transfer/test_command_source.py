"""The end of a command whose output is pushed, when a signal arrives while it starts."""

import signal
import subprocess
import sys
from typing import Any

import pytest

from opstore_cli.transfer.command_source import run_command

COMMAND = (sys.executable, "-c", "import time; time.sleep(100)")


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
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(signal, "raise_signal", received.append)
    try:
        with pytest.raises(BaseException) as caught, run_command(COMMAND):  # noqa: PT011
            pytest.fail("the command was used after the signal")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (caught.type is KeyboardInterrupt, received) == (number == signal.SIGINT, ends_by)
    assert started[0].returncode is not None
