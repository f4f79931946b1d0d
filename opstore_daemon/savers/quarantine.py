"""The folder quarantine/: what was in the place of a blob and is none, kept for a while under a name of its own."""

import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from opstore_daemon.savers import posix
from opstore_daemon.savers.base import Quarantined

QUARANTINE = "quarantine"

_NAME = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{8}")


def move_away(root: Path, path: Path) -> None:
    """Move what is at the path, whatever it is, to the quarantine of the folder `root`. Raises OSError."""
    quarantine = root / QUARANTINE
    if posix.make_folder(quarantine):
        posix.sync_folder(root)
    # A name of its own: a blob may be damaged again after it was healed.
    target = quarantine / f"{path.name}.{uuid.uuid4().hex[:8]}"
    os.rename(path, target)
    with suppress(OSError):
        os.utime(target, follow_symlinks=False)  # since when it is there
    posix.sync_folder(quarantine)
    posix.sync_folder(path.parent)


def listed(root: Path) -> Iterator[Quarantined]:
    """Yield what is in the quarantine of the folder `root`. Raises OSError."""
    with suppress(FileNotFoundError):
        for name in os.listdir(root / QUARANTINE):
            if _NAME.fullmatch(name):
                found = os.lstat(root / QUARANTINE / name)
                yield Quarantined(name, found.st_size if stat.S_ISREG(found.st_mode) else 0, found.st_mtime)


def delete(root: Path, name: str) -> None:
    """Delete what is in the quarantine under that name, whatever it is. Raises OSError."""
    path = root / QUARANTINE / name
    if _NAME.fullmatch(name) is None:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        posix.unlink(path)
