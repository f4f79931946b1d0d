"""Writing back to the disk starts while bytes still arrive."""

import os
import sys
from pathlib import Path

import pytest

from opstore_daemon.system import writeback
from opstore_daemon.system.writeback import EVERY, WriteBack


def test_write_back_starts_once_per_interval_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, ...]] = []
    monkeypatch.setattr(writeback, "_sync_file_range", lambda: lambda *asked: begun.append(asked))
    back = WriteBack(7, 100)
    for count in (EVERY - 1, 1, EVERY // 2, EVERY):
        back.wrote(count)
    assert begun == [(7, 100, EVERY, 2), (7, 100 + EVERY, EVERY // 2 + EVERY, 2)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the call")
def test_the_system_accepts_the_call(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        os.write(fd, b"x" * 100_000)
        assert writeback._sync_file_range()(fd, 0, 100_000, 2) == 0
    finally:
        os.close(fd)


def test_other_systems_work_without_write_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "other")
    assert writeback._sync_file_range.__wrapped__()(1, 2, 3, 4) is None
