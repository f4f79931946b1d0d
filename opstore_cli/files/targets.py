"""Where a write to a path that the user gave goes: never over a device, a pipe or a stream of this process."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from opstore_daemon.protocol import errors

MAX_LINKS = 40  # symbolic links that lead from one to the next: the kernel follows no more either
SEPARATORS = "/" if os.sep == "/" else f"/{os.sep}"
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/[^/]+(?:/task/[^/]+)?/fd")
_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
}


def regular_target(path: Path, *, stream_hint: str) -> Path:
    """Return the file that a write to `path` replaces or creates: the last one that its symbolic links lead to.

    Raises FileRefused for a path to anything but a regular file, to a folder that does not exist, and to a stream of
    this process such as `/dev/stdout`, for which the reason ends in `stream_hint`.
    """
    with errors.translated(OSError, ValueError, to=errors.FileRefused, path=str(path)):
        for place in _places(path):
            target = place
            if not os.path.isdir(place.parent):
                raise errors.FileRefused(path=str(path), reason=f"the folder {place.parent} does not exist")
            if _is_descriptor(place):
                raise errors.FileRefused(path=str(path), reason=f"it is a stream of this process: {stream_hint}")
        try:
            mode = os.lstat(target).st_mode
        except FileNotFoundError:
            return target
    if stat.S_ISLNK(mode):
        raise errors.FileRefused(path=str(path), reason="too many symbolic links lead from one to the next")
    if not stat.S_ISREG(mode):
        raise errors.FileRefused(path=str(path), reason=_KINDS.get(stat.S_IFMT(mode), "it is not a regular file"))
    return target


def is_stream(path: Path) -> bool:
    """Return whether a device, a pipe or a socket is at the path, which is written to and never replaced."""
    # Not Path.exists(), which raises if a name is too long.
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def leads_to_descriptor(path: Path) -> bool:
    """Return whether the path is, or leads to, a descriptor of a process, as `/dev/stdout` and `/dev/fd/5` do."""
    try:
        return any(map(_is_descriptor, _places(path)))
    except (OSError, ValueError):
        return False


def is_standard_output(path: Path) -> bool:
    """Return whether the path leads to the descriptor that is this process' standard output."""
    try:
        return leads_to_descriptor(path) and os.path.samestat(os.stat(path), os.fstat(1))
    except (OSError, ValueError):
        return False


def _places(path: Path) -> Iterator[Path]:
    """Yield the path, then each path that the symbolic link at the one before leads to."""
    yield path
    for _ in range(MAX_LINKS):
        if not os.path.islink(path):
            return
        path = Path(os.path.realpath(path.parent), os.readlink(path))
        yield path


def _is_descriptor(path: Path) -> bool:
    return _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)) is not None


def ends_in_separator(path: str) -> bool:
    """Return whether the text of the path says that it is a folder."""
    return path.endswith(tuple(SEPARATORS))
