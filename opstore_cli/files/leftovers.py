"""What pulls that were killed left beside a target that is complete by now."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from opstore_cli.files.locks import try_lock
from opstore_cli.files.part_folder import remove
from opstore_cli.files.private import NAME_PREFIX, is_own
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.system.files import NONBLOCK, open_nofollow


def remove_leftovers(folder: Path, digests: Mapping[str, Digest]) -> None:
    """Delete the parts of these names and digests that no process uses, and what they replaced.

    Another user's files stay. Failures are ignored.
    """
    starts = tuple(f".{name[:NAME_PREFIX]}.{digest.hex[:16]}." for name, digest in digests.items())
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(starts) and name.endswith((".part", ".old")):
                with suppress(OSError):
                    remove_unused(folder / name)


def remove_unused(path: Path) -> None:
    """Delete a part unless another process uses it or another user owns it; raises OSError."""
    descriptor = open_nofollow(path, os.O_RDONLY | NONBLOCK)
    try:
        state = os.fstat(descriptor)
        if (
            is_own(state)
            and (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode))
            and try_lock(descriptor) == "acquired"
        ):
            remove(path)
    finally:
        os.close(descriptor)
