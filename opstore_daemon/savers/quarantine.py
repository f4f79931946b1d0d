"""The folder quarantine/: what was in the place of a blob and is none, kept for a while under a name of its own."""

import os
import uuid
from contextlib import suppress
from pathlib import Path

from opstore_daemon.savers import posix

QUARANTINE = "quarantine"


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
