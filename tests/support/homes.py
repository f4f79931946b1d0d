"""A home whose daemon is played by the test: its lock, and the runtime file of the lock's holder."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_runtime_file(home: Path, url: str, **more: Any) -> None:
    """Write the runtime file of a daemon at the URL; `more` are other keys of it."""
    port = int(url.rpartition(":")[2])
    content = {"url": url, "pid": 4_194_305, "port": port, "version": "0.1.0", "started_at": "", **more}
    (home / "daemon.json").write_text(json.dumps(content))


@contextmanager
def held(home: Path) -> Iterator[int]:
    """Hold the lock of the home as a daemon does; yield the inode of its file."""
    descriptor = os.open(home / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)
