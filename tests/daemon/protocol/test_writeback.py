"""The way to the disk that begins while bytes still come."""

import os
import sys
from pathlib import Path

import pytest

from opstore_daemon.system import writeback
from opstore_daemon.system.writeback import EVERY, WriteBack


def test_each_so_many_bytes_their_way_begins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, ...]] = []
    monkeypatch.setattr(writeback, "_begin", lambda: lambda *asked: begun.append(asked))
    back = WriteBack(7, 100)
    for count in (EVERY - 1, 1, EVERY // 2, EVERY):
        back.wrote(count)
    assert begun == [(7, 100, EVERY, 2), (7, 100 + EVERY, EVERY // 2 + EVERY, 2)]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has the call")
def test_the_system_takes_the_call(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        os.write(fd, b"x" * 100_000)
        assert writeback._begin()(fd, 0, 100_000, 2) == 0
    finally:
        os.close(fd)


def test_it_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "other")
    assert writeback._begin.__wrapped__()(1, 2, 3, 4) is None
