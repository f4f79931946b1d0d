"""Sixteen processes push onto one op: its sequences have neither gaps nor doubles."""

import time
from pathlib import Path

import pytest

from tests.load.figures import report
from tests.load.processes import run_all
from tests.load.sizes import at_sizes
from tests.load.workers import push_numbered
from tests.support import store_files
from tests.support.daemon import Daemon

pytestmark = pytest.mark.process

PROCESSES = 16


@pytest.mark.slow
@at_sizes("pushes", 250, small=6)
def test_sixteen_processes_that_push_onto_one_op_leave_no_gaps(
    pushes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon.start(tmp_path / "home")
    try:
        began = time.monotonic()
        answers = run_all(push_numbered, [(number, pushes, daemon.url, daemon.token) for number in range(PROCESSES)])
        took = time.monotonic() - began
    finally:
        assert daemon.stop() == 0
    pushed = [each for some in answers for each in some]
    count = PROCESSES * pushes
    assert sorted(sequence for sequence, _ in pushed) == list(range(1, count + 1))
    versions = store_files.check(tmp_path / "home").versions
    assert {(each.sequence, each.number) for each in versions.values()} == set(pushed)
    report(capsys, f"{PROCESSES} processes, {pushes} pushes each: sequences 1 to {count}, {count / took:.0f} a second")
