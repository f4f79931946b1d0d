"""A start waits for a lock of its home that others hold, for a bounded time, and can be interrupted meanwhile."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from opstore_daemon.protocol.runtime_file import LOCK_FILE
from tests.support.daemon import COMMAND, Daemon, environment, run
from tests.support.figures import few
from tests.support.waiting import WITHIN, wait_for

FOR_EVER = 10 * WITHIN  # seconds

pytestmark = pytest.mark.process

# The daemon's command line, with other timeouts, and a line on standard output whenever it has tried for the lock.
PROGRAM = """
import os, sys
from opstore_daemon import __main__, home
home.SHARED_TIMEOUT, home.LOCK_TIMEOUT = SECONDS
acquire, tries = home._try, []
def told(descriptor, kind):
    acquired = acquire(descriptor, kind)
    os.write(1, b"tried\\n")
    return acquired
home._try = told
sys.argv = ["opstore", *sys.argv[5:]]  # behind the words of the usual command
__main__.run()
"""


def waiting(shared: float, alone: float) -> list[str]:
    """Return the words before a command that give it these timeouts, in seconds."""
    return [sys.executable, "-c", PROGRAM.replace("SECONDS", f"{shared}, {alone}")]


@contextmanager
def held(home: Path, kind: int) -> Iterator[None]:
    """Hold the lock of the home: `fcntl.LOCK_SH`, as clients that look for its daemon, or `LOCK_EX`, as a daemon."""
    home.mkdir(exist_ok=True)
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def begun(home: Path, enter: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Begin to serve; yield the process once it has tried for the lock in vain."""
    with subprocess.Popen(
        [*enter, *COMMAND, "serve"], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            for _ in range(3):  # for the lock itself, for a shared one, and again
                assert process.stdout.readline() == b"tried\n"
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "shared", "alone"),
    few(1, [(fcntl.LOCK_SH, 0.1, FOR_EVER), (fcntl.LOCK_EX, FOR_EVER, 0.1)]),
    ids=["clients", "daemon"],
)
def test_a_start_waits_for_the_lock_as_long_as_for_its_kind_of_holder(
    home: Path, kind: int, shared: float, alone: float
) -> None:
    with held(home, kind):
        refused = run(home, "serve", enter=waiting(shared, alone))
    assert refused.returncode == 5, refused.stderr
    assert f"{home} is in use by the daemon" in refused.stderr
    assert refused.stdout.count("tried") >= 4, "twice for the lock, and twice for a shared one"
    daemon = Daemon.start(home)
    assert daemon.stop() == 0


@pytest.mark.slow
def test_a_start_goes_on_when_all_clients_have_looked(home: Path) -> None:
    with ExitStack() as looking:
        looking.enter_context(held(home, fcntl.LOCK_SH))
        with begun(home, waiting(FOR_EVER, FOR_EVER)) as process:
            looking.close()
            wait_for((home / "daemon.json").exists, "the runtime file")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", few(1, [fcntl.LOCK_SH, fcntl.LOCK_EX]), ids=["clients", "daemon"])
def test_a_start_that_is_interrupted_while_it_waits_exits_130_and_leaves_nothing(home: Path, kind: int) -> None:
    with held(home, kind):
        with begun(home, waiting(FOR_EVER, FOR_EVER)) as process:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=WITHIN)
        assert (process.returncode, errors) == (130, b"\n")
        assert sorted(path.name for path in home.iterdir()) == ["daemon.lock", "daemon.log"]
    daemon = Daemon.start(home)
    assert daemon.stop() == 0
