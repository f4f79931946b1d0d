"""The hidden folder beside a target that is unpacked into, and that becomes the target when it is whole."""

import atexit
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from opstore_cli.files import atomic_rename
from opstore_cli.files.locks import LockedFile, LockState, try_lock
from opstore_cli.files.part_file import NAME_SHOWN
from opstore_daemon.protocol.digests import Digest, hex_of

_OPENING = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class PartFolder:
    """A folder of this process's, with what an earlier one left in it."""

    def __init__(self, path: Path, locks: ExitStack) -> None:
        self.path = path
        self._locks = locks
        self._mine = os.path.abspath(path), os.getpid()
        self._is_there = True

    @classmethod
    @contextmanager
    def beside(cls, target: Path, digest: Digest) -> "Iterator[PartFolder]":
        """The folder for this content, which a later process finds again until it is removed or published.

        Where that one is in use, or not ours, a new one with a random name, which nobody finds again; raises OSError.
        """
        start = f".{target.name[:NAME_SHOWN]}.{hex_of(digest)[:16]}"
        path = target.with_name(f"{start}.part")
        with ExitStack() as locks:
            if _make(path, locks) or _take_over(path, locks):
                yield cls(path, locks)
                return
            path = target.with_name(f"{start}.{secrets.token_hex(8)}.part")
            os.mkdir(path, 0o755)
            part = cls(path, locks)
            # A thread that hangs on a line is not waited for when the process ends.
            atexit.register(part.remove)
            try:
                yield part
            finally:
                part.remove()
                atexit.unregister(part.remove)

    def is_empty(self) -> bool:
        """Whether there is nothing to go on with."""
        return not os.listdir(self.path)

    def empty(self) -> None:
        """Throws away what is in it; raises OSError."""
        for name in os.listdir(self.path):
            remove(self.path / name)

    def remove(self) -> None:
        """Removes it, with whatever stands under its path by now, unless it was published."""
        place, process = self._mine
        if self._is_there and os.getpid() == process:
            with suppress(OSError):
                remove(Path(place))
            self._is_there = False

    def publish(self, target: Path, overwrite: bool) -> None:
        """Makes it the target; raises FileExistsError (unless `overwrite`) and OSError.

        What the target was is removed after it; where the system can exchange them, there is always one of the two.
        """
        old = self._place_at(target, overwrite)
        if old is not None:
            try:
                remove(old)
            except OSError as error:
                reason = f"the new one is in place, but {old}, which it replaced, is left: {error.strerror}"
                raise OSError(error.errno, reason) from error
        self._is_there = False  # what has that path from now on is another process's

    def _place_at(self, target: Path, overwrite: bool) -> Path | None:
        """Where what the target was is now, None where there was nothing."""
        while True:
            try:
                atomic_rename.move_if_free(self.path, target)
                return None
            except FileExistsError:
                if not overwrite:
                    raise
            # Where another process replaces it at the same time, it may be gone, or there again.
            with suppress(FileNotFoundError, FileExistsError):
                return self._replace(target)

    def _replace(self, target: Path) -> Path:
        _lock(target, self._locks)  # for as long as it has this folder's hidden name
        if atomic_rename.exchange(self.path, target):
            return self.path
        old = self.path.with_suffix(f".{secrets.token_hex(4)}.old")
        os.rename(target, old)
        try:
            atomic_rename.move_if_free(self.path, target)
        except FileExistsError:
            remove(old)
            raise
        except BaseException:
            os.rename(old, target)
            raise
        return old


def _make(path: Path, locks: ExitStack) -> bool:
    """Whether the folder is made, and is this process's."""
    # The mode is that of any folder, less the umask: nobody else may write into it.
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    if os.name != "posix":
        return True
    lock = _lock(path, locks)
    if lock == "none":
        os.rmdir(path)  # no later process could tell whether it is in use
    return lock == "taken"


def _take_over(path: Path, locks: ExitStack) -> bool:
    """Whether the folder is one of ours that no process is at."""
    return os.name == "posix" and _is_ours(path) and _lock(path, locks) == "taken"


def _lock(path: Path, locks: ExitStack) -> LockState:
    """Takes the folder's lock until the end."""
    try:
        descriptor = os.open(path, _OPENING)
    except OSError:
        return "none"
    locks.callback(os.close, descriptor)
    state = try_lock(descriptor)
    # Whoever held it may have made it a target between our opening and our locking it.
    return "held" if state == "taken" and not LockedFile(descriptor, path).is_still_there() else state


def _is_ours(path: Path) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def remove(path: Path) -> None:
    """Removes a file, a link or a folder with all that is in it; raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
