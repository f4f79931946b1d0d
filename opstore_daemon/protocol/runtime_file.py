"""The runtime file of a home: where its daemon listens, as the daemon writes it and clients read it.

It counts only while the lock of the home is held, and only if it was written by the process that holds this very lock
file: a home that was copied has the runtime file of the original and a lock file of its own.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec

from opstore_daemon.protocol import records
from opstore_daemon.system import files

RUNTIME_FILE = "daemon.json"
LOCK_FILE = "daemon.lock"
MAX_SIZE = 64 * 1024  # bytes


class RuntimeFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of daemon.json.

    `lock` is the inode of the lock file that its writer holds, and `instance` a random text of this one run, by which
    the daemon proves that it is the one that wrote the file. `host` and `pid_namespace` say where `pid` is valid.
    `token_file` is the absolute path of the file with its token; empty for the one in the home. What an earlier release
    did not write has a default.
    """

    url: str
    pid: Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
    port: Annotated[int, msgspec.Meta(ge=1, lt=1 << 16)]
    version: str
    started_at: str = ""
    lock: int | None = None
    instance: str | None = None
    host: str = ""
    pid_namespace: str = ""
    token_file: str = ""

    def is_of(self, lock: int) -> bool:
        """Return whether it was written by the process that holds the lock file open as the descriptor `lock`."""
        return self.lock is None or self.lock == os.fstat(lock).st_ino


def read(home: Path) -> RuntimeFile | None:
    """Return the content of the home's runtime file; None if there is none, or it can't be one. It may be stale."""
    try:
        return parse(files.read_regular(home / RUNTIME_FILE, MAX_SIZE))
    except OSError:
        return None


def parse(data: bytes) -> RuntimeFile | None:
    """Return the content of a runtime file; None if it can't be one."""
    try:
        return records.decoder(RuntimeFile).decode(data)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
