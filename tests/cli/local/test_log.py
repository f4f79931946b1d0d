"""The log of the local daemon: its last lines, also across files, and new ones as they are written."""

import os
from itertools import islice
from pathlib import Path

import pytest

from opstore_cli.local import log
from opstore_daemon.protocol import errors


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log, "POLL", 0.0)
    return tmp_path / "daemon.log"


def test_the_last_lines_are_read_backwards(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BLOCK", 7)
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    assert log.last_lines(path, 3) == ([b"line 97", b"line 98", b"line 99"], path.stat().st_size)
    assert log.last_lines(path, 0)[0] == []
    assert len(log.last_lines(path, 1000)[0]) == 100


def test_a_large_log_is_not_read_as_a_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 100_000)
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert len(log.last_lines(path, 100)[0]) == 100
    assert sum(read) <= 2 * log.BLOCK


def test_older_logs_are_read_if_the_newest_is_too_short(path: Path) -> None:
    path.with_name("daemon.log.2").write_bytes(b"1\n2\n")
    path.with_name("daemon.log.1").write_bytes(b"3\n4\n")
    path.write_bytes(b"5\n")
    assert log.last_lines(path, 4)[0] == [b"2", b"3", b"4", b"5"]
    assert log.last_lines(path, 9)[0] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_line_that_is_still_being_written_is_not_printed_twice(path: Path) -> None:
    path.write_bytes(b"one\ntw")
    lines, offset = log.last_lines(path, 9)
    assert lines == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert list(islice(log.following(path, offset), 2)) == [b"two", b"three"]


def test_a_new_log_is_followed_after_the_rest_of_the_old_one(path: Path) -> None:
    path.write_bytes(b"one\n")
    lines = log.following(path, 4)
    with path.open("ab") as file:
        file.write(b"two\n")
    assert next(lines) == b"two"
    with path.open("ab") as file:
        file.write(b"three\n")
    path.rename(path.with_name("daemon.log.1"))
    path.write_bytes(b"four\n")
    assert list(islice(lines, 2)) == [b"three", b"four"]


def test_a_missing_log_and_another_kind_of_file_are_refused(path: Path) -> None:
    with pytest.raises(errors.LogNotFound, match="there is no log at"):
        log.last_lines(path, 1)
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(errors.InvalidSetting, match="symbolic link"):
        log.last_lines(path, 1)
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.InvalidSetting):
        log.last_lines(path, 1)
