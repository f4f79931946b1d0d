"""The hidden folder beside a target that a pull unpacks into, and that becomes the target when it is complete."""

import atexit
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from opstore_cli.files.exclusive_rename import exchange, rename_exclusively
from opstore_cli.files.locks import LockedFile, LockState, try_lock
from opstore_cli.files.private import NAME_PREFIX, is_own
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.system.files import DIRECTORY, open_nofollow
from opstore_daemon.system.folder_sync import sync_folder


class PartFolder:
    """The hidden folder of one pull, including what an earlier process unpacked into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner = os.path.abspath(path), os.getpid()
        self._is_removable = True

    @classmethod
    @contextmanager
    def beside(cls, target: Path, digest: Digest) -> "Iterator[PartFolder]":
        """Open the folder for this content; a later process finds it again until it is removed or published.

        If another process uses it, or another user owns it, create one with a random name, which is removed with the
        context. Raises OSError.
        """
        start = f".{target.name[:NAME_PREFIX]}.{digest.hex[:16]}"
        path = target.with_name(f"{start}.part")
        with ExitStack() as locks:
            if _create(path, locks) or _reopen(path, locks):
                yield cls(path)
                return
            path = target.with_name(f"{start}.{secrets.token_hex(8)}.part")
            os.mkdir(path, 0o755)
            part = cls(path)
            # The process may end while a thread that waits for the network is still in this context.
            atexit.register(part.remove)
            try:
                yield part
            finally:
                part.remove()
                atexit.unregister(part.remove)

    def is_empty(self) -> bool:
        """Return whether it holds nothing to resume from."""
        return not os.listdir(self.path)

    def empty(self) -> None:
        """Delete everything in it; raises OSError."""
        for name in os.listdir(self.path):
            remove(self.path / name)

    def remove(self) -> None:
        """Delete the folder unless it was published; failures are ignored."""
        path, process = self._owner
        if self._is_removable and os.getpid() == process:
            with suppress(OSError):
                remove(Path(path))
            self._is_removable = False

    def publish(self, target: Path, overwrite: bool) -> None:
        """Rename the folder to `target`; raises FileExistsError (unless `overwrite`) and OSError.

        The folder and what was at `target` change places, then the latter is deleted. On a system that can't exchange
        them, for a moment nothing is at `target`.
        """
        replaced = self._rename(target, overwrite)
        self._is_removable = False  # another process may use the path from now on
        try:
            # Before the old one is deleted: after a crash, its name could be back on what is left of it.
            sync_folder(target.parent)
            if replaced is not None:
                remove(replaced)
        except OSError as error:
            if replaced is None:
                raise
            reason = f"the new one is in place, but the old one remains as {replaced}: {errors.reason(error)}"
            raise OSError(error.errno, reason) from error

    def _rename(self, target: Path, overwrite: bool) -> Path | None:
        """Rename the folder to `target`; return the path of what was there before, None if nothing was."""
        while True:
            try:
                rename_exclusively(self.path, target)
                return None
            except FileExistsError:
                if not overwrite:
                    raise
            # Another process that replaces the target may have removed or created it meanwhile.
            with suppress(FileNotFoundError, FileExistsError):
                return self._replace(target)

    def _replace(self, target: Path) -> Path:
        old = self.path.with_suffix(f".{secrets.token_hex(4)}.old")
        if exchange(self.path, target):
            try:
                os.rename(self.path, old)
            except BaseException:
                exchange(self.path, target)
                raise
            return old
        os.rename(target, old)
        try:
            rename_exclusively(self.path, target)
        except FileExistsError:
            remove(old)
            raise
        except BaseException:
            os.rename(old, target)
            raise
        return old


def remove(path: Path) -> None:
    """Delete a file, a link, or a folder with everything in it; raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _create(path: Path, locks: ExitStack) -> bool:
    """Return whether the folder was created and this process holds its lock, if there are locks."""
    # Never writable by others, whatever the umask: nobody else may add entries.
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    if os.name != "posix":
        return True
    lock = _lock(path, locks)
    if lock == "unsupported":
        os.rmdir(path)  # a later process could not tell whether it is in use
    return lock == "acquired"


def _reopen(path: Path, locks: ExitStack) -> bool:
    """Return whether the folder is this user's and no other process used it, so that this one holds its lock now."""
    return os.name == "posix" and _lock(path, locks) == "acquired"


def _lock(path: Path, locks: ExitStack) -> LockState:
    """Try to hold the folder's lock until `locks` is closed. The folder of another user counts as busy."""
    try:
        descriptor = open_nofollow(path, os.O_RDONLY | DIRECTORY)
    except OSError:
        return "unsupported"
    locks.callback(os.close, descriptor)
    if not is_own(os.fstat(descriptor)):
        return "busy"
    state = try_lock(descriptor)
    # Its former owner may have renamed it to a target between the two calls above.
    return "busy" if state == "acquired" and not LockedFile(descriptor, path).is_at_path() else state
