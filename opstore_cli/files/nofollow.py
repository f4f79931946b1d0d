"""Open files without following a link in their place."""

import os

NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)

_ALWAYS: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def open_nofollow(path: "os.PathLike[str] | str | bytes", flags: int, mode: int = 0o666) -> int:
    """Return a descriptor of the file, in binary mode and not inherited by child processes.

    `flags` and `mode` are those of os.open(). Raises OSError, also if `path` is a symbolic link.
    """
    return os.open(path, flags | _ALWAYS, mode)
