"""The log file, where others planted links and folders."""

import logging
import os
from pathlib import Path

import pytest

from opstore_daemon.system.log_file import LogFile


def log_lines(path: Path, count: int) -> None:
    """Write that many lines to the log, which is renamed every few of them."""
    handler = LogFile(path, 60, 2)
    for number in range(count):
        handler.emit(logging.LogRecord("name", logging.INFO, "", 0, f"line {number}, long enough", (), None))
    handler.close()


def test_a_rotation_replaces_planted_links_and_follows_none(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    for name in ("daemon.log.1", "daemon.log.2"):
        (tmp_path / name).symlink_to(victim)
    log_lines(tmp_path / "daemon.log", 10)
    assert victim.read_text() == "dear"
    assert not (tmp_path / "daemon.log.1").is_symlink()


def test_a_rotation_that_fails_loses_no_line(tmp_path: Path) -> None:
    (tmp_path / "daemon.log.1").mkdir()
    (tmp_path / "daemon.log.1" / "file").touch()
    log_lines(tmp_path / "daemon.log", 10)
    logs = [path for path in tmp_path.iterdir() if path.is_file()]
    assert sum(path.read_text().count("long enough") for path in logs) == 10


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_another_kind_of_file_in_its_place_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "daemon.log"
    if kind == "link":
        path.symlink_to(tmp_path / "victim")
    else:
        os.mkfifo(path)
    with pytest.raises(OSError, match=r"it is (a symbolic link|not a regular file)"):
        log_lines(path, 1)
    assert not (tmp_path / "victim").exists()
