"""Open files in binary mode, by default without following a link in their place."""

import os

NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)

_BINARY: int = getattr(os, "O_BINARY", 0)
_ALWAYS: int = getattr(os, "O_NOFOLLOW", 0) | _BINARY


def open_nofollow(path: "os.PathLike[str] | str | bytes", flags: int, mode: int = 0o666) -> int:
    """Return a descriptor of the file, in binary mode and not inherited by child processes.

    `flags` and `mode` are those of os.open(). Raises OSError, also if `path` is a symbolic link.
    """
    return os.open(path, flags | _ALWAYS, mode)


def open_following(path: "os.PathLike[str] | str | bytes", flags: int) -> int:
    """Return a descriptor of the file, as `open_nofollow` does, also if `path` is a link. Raises OSError."""
    return os.open(path, flags | _BINARY)
