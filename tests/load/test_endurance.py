"""Thirty-two clients for minutes: no error, and the daemon's memory, threads and descriptors stay what they are."""

from collections import Counter
from pathlib import Path

import pytest

from opstore_daemon.metadata.sqlite.connections import READERS
from tests.load import mixed, process_size
from tests.load.figures import report
from tests.load.process_size import growth, sampled, sockets_of
from tests.load.processes import run_all
from tests.load.sizes import at_sizes
from tests.support import store_files
from tests.support.daemon import Daemon
from tests.support.waiting import WITHIN, wait_for

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not process_size.AVAILABLE, reason="it looks into /proc"),
]

SECONDS = 600
PROCESSES, THREADS = 4, 8
CLIENTS = PROCESSES * THREADS
SAMPLES = 120
MIB = 1024 * 1024
MARGIN = 8 * MIB  # memory by which the last third may be above the third before: allocators give back late
FEW = 4  # threads or descriptors by which it may be above
MAX_THREADS = 20  # the workers of the server, and a few that last
MAX_DESCRIPTORS = 3 * CLIENTS + 3 * READERS + 30  # connections with an upload and a blob each; a pool of readers; logs


@pytest.mark.slow
@at_sizes("seconds", SECONDS, small=1)
def test_thirty_two_clients_cause_no_error_and_no_growth(
    seconds: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon.start(tmp_path / "home")
    try:
        mixed.prepare(daemon.url, daemon.token)
        sockets = sockets_of(daemon.process.pid)
        with sampled(daemon.process.pid, seconds / SAMPLES) as samples:
            arguments = [(number, THREADS, seconds, daemon.url, daemon.token) for number in range(PROCESSES)]
            done = run_all(mixed.work, arguments, within=seconds + WITHIN)
        wait_for(lambda: sockets_of(daemon.process.pid) <= sockets, "the end of the connections")
    finally:
        stopped = daemon.stop()
    calls: Counter[str] = sum((each for each, _ in done), Counter())
    errors = [error for _, some in done for error in some]
    assert not errors, errors[0]
    assert stopped == 0
    store_files.check(tmp_path / "home")
    grown, last = growth(samples), samples[-len(samples) // 10]  # while all clients work
    report(
        capsys,
        f"{CLIENTS} clients, {seconds} s, {sum(calls.values())} calls without an error: memory"
        f" {max(each.memory for each in samples) / MIB:.0f} MiB at most, {last.memory / MIB:.0f} MiB at the end"
        f" ({grown.memory / MIB:+.1f} MiB in the last third), {last.threads} threads ({grown.threads:+}),"
        f" {last.descriptors} descriptors ({grown.descriptors:+})",
    )
    assert max(each.threads for each in samples) <= MAX_THREADS
    assert max(each.descriptors for each in samples) <= MAX_DESCRIPTORS
    if seconds == SECONDS:  # earlier, pools and caches are still filling
        assert grown.memory <= MARGIN
        assert grown.threads <= FEW
        assert grown.descriptors <= FEW
