"""A command waits for another one that starts the daemon: for a bounded time, and it can be interrupted meanwhile."""

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.machines import Machine, Process
from tests.support.waiting import WITHIN

pytestmark = pytest.mark.process

# The command line with another timeout, and a line on standard output at each try for a lock that is held.
PROGRAM = """
import os, sys
from opstore_cli import main
from opstore_cli.files import locks
from opstore_cli.local import daemon
daemon.START_LOCK_TIMEOUT = SECONDS
try_lock = locks.try_lock
def told(descriptor, **options):
    state = try_lock(descriptor, **options)
    if state == "busy":
        os.write(1, b"busy\\n")
    return state
locks.try_lock = told
main.run()
"""
FOR_EVER = 10 * WITHIN  # seconds


def waiting(seconds: float) -> list[str]:
    """Return the words that run the program with this timeout."""
    return [sys.executable, "-c", PROGRAM.replace("SECONDS", str(seconds))]


@contextmanager
def starting(machine: Machine) -> Iterator[None]:
    """Hold the lock of a command that starts the daemon."""
    machine.home.mkdir(mode=0o700)
    descriptor = os.open(machine.home / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def wait_until_it_waits(process: Process) -> None:
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == b"busy\n"


@pytest.mark.slow
def test_a_command_gives_up_after_the_timeout_and_says_who_holds_the_lock(machine: Machine) -> None:
    with starting(machine):
        code, _, err = machine.run("ops", program=waiting(0.2))
        assert code == 7
        assert "another command that starts it holds" in err
        assert "start.lock for 0 s" in err
        assert machine.daemons() == []
    assert machine.run("ops")[0] == 0


@pytest.mark.slow
def test_a_command_goes_on_when_the_other_one_has_ended(machine: Machine) -> None:
    with ExitStack() as held:
        held.enter_context(starting(machine))
        with machine.begin("ops", program=waiting(FOR_EVER)) as process:
            wait_until_it_waits(process)
            held.close()
            process.communicate(timeout=WITHIN)
    assert process.returncode == 0
    assert machine.daemons() == [machine.pid]


@pytest.mark.slow
def test_a_command_that_is_interrupted_while_it_waits_exits_130_and_starts_nothing(machine: Machine) -> None:
    with starting(machine):
        with machine.begin("ops", program=waiting(FOR_EVER)) as process:
            wait_until_it_waits(process)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=WITHIN)
        assert (process.returncode, err) == (130, b"error: interrupted\n")
        assert machine.daemons() == []
        assert [path.name for path in machine.home.iterdir()] == ["start.lock"]
    assert machine.run("ops")[0] == 0
