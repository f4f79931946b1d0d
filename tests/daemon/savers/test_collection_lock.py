"""The lock of a folder that keeps collectors away: other processes, replaced files and file systems that refuse it."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.savers import collection_lock
from opstore_daemon.savers.collection_lock import COLLECT_LOCK, FolderCollectionLock
from tests.support.faults import fails

READ = """
import sys
from pathlib import Path
from opstore_daemon.savers.collection_lock import FolderCollectionLock

with FolderCollectionLock(Path(sys.argv[1])).shared():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_reader_in_another_process_keeps_collectors_away_until_it_dies(tmp_path: Path) -> None:
    lock = FolderCollectionLock(tmp_path)
    command = [sys.executable, "-c", READ, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"held\n"
        with pytest.raises(errors.CollectionHeld), lock.exclusive():
            pass
        reader.kill()
    with lock.exclusive():
        pass
    assert stat.S_IMODE((tmp_path / COLLECT_LOCK).stat().st_mode) == 0o600


def test_a_lock_on_a_file_that_was_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, really = FolderCollectionLock(tmp_path), fcntl.flock

    def replace_first(descriptor: int, kind: int) -> None:
        (tmp_path / COLLECT_LOCK).unlink()
        (tmp_path / COLLECT_LOCK).touch()
        really(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", replace_first)
    for held in (lock.shared, lock.exclusive):
        with pytest.raises(errors.StorageFailed, match="deleted or replaced"), held():
            pass


def test_a_folder_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(errno.ENOLCK))
    lock = FolderCollectionLock(tmp_path)
    for held in (lock.shared, lock.exclusive):
        with pytest.raises(errors.StorageFailed, match="No locks available while locking"), held():
            pass


def test_a_reader_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_lock, "WAIT", 0.0)
    lock = FolderCollectionLock(tmp_path)
    with lock.exclusive(), pytest.raises(errors.StorageFailed, match="a collector has locked"), lock.shared():
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    os.symlink(tmp_path / "elsewhere", tmp_path / COLLECT_LOCK)
    with pytest.raises(errors.StorageFailed, match="symbolic link"), FolderCollectionLock(tmp_path).shared():
        pass
