"""Who holds the lock of a file, in words."""

import gc
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.system.lock_file import EARLIER_SERVER, Busy, LockFile, holder

HOLD = """
import sys
from pathlib import Path
from opstore_daemon.system.lock_file import LockFile, holder

LockFile(Path(sys.argv[1])).write(holder("/home/of/another"))
lock = LockFile(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


FORK = """
import os
import sys
from pathlib import Path
from opstore_daemon.system.lock_file import Busy, LockFile, holder

lock = LockFile(Path(sys.argv[1]))
lock.write(holder(None))
print(os.getpid(), flush=True)
if os.fork() == 0:
    try:
        LockFile(Path(sys.argv[1]))
    except Busy as busy:
        print(busy.holder, flush=True)
    os._exit(0)
os.wait()
"""


def busy_with(path: Path) -> str:
    """Return who is said to hold the lock."""
    with pytest.raises(Busy) as raised:
        LockFile(path)
    return raised.value.holder


def test_a_lock_of_this_process_is_not_called_another_daemon(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with closing(LockFile(path)) as lock:
        for record in (holder(None), {**holder("/home"), "pid": 1}, {}):
            lock.write(record)
            assert busy_with(path) == EARLIER_SERVER
        os.link(path, tmp_path / "moved")
        path.unlink()
        with closing(LockFile(path)) as other:
            other.write({})
            assert busy_with(path) == EARLIER_SERVER


def test_another_process_is_named_by_its_record(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    LockFile(path).close()
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        found = busy_with(path)
        process.stdin.close()
    assert found == f"another daemon (pid {process.pid} on {os.uname().nodename}, home /home/of/another)"


def test_a_forked_process_names_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path / "lock")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    pid, found = ran.stdout.splitlines()
    assert found == f"another daemon (pid {pid} on {os.uname().nodename})"


def test_a_lock_that_was_dropped_without_close_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = LockFile(path)
    assert busy_with(path) == EARLIER_SERVER
    del lock
    gc.collect()
    LockFile(path).close()
