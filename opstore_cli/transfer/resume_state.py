"""State files of large transfers: a later process resumes from them, and `opstore status` lists them."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from opstore_cli.files import private
from opstore_cli.files.leftovers import remove_unused
from opstore_cli.files.locks import LockedFile
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.home_trust import check_home

RECORDED_FROM = 8 * 1024 * 1024  # bytes; a smaller transfer has no state file
FOLDER = "transfers"  # in OPSTORE_HOME
RETENTION = 14 * 24 * 3600.0  # seconds; the daemon deletes an unfinished upload earlier
MAX_STATE = 16 * 1024  # bytes of a state file

# The name that files.part_file and files.part_folder give to a part: nothing else is ever deleted.
_PART = re.compile(r"\..+\.[0-9a-f]{16}(\.[0-9a-f]{16})?\.part", re.DOTALL)
_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


class TransferState(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer that can be resumed. `path` is its source or target, as `printable`; `size` is in bytes.

    A push has an `upload`, `follow_links` if it follows the links of a folder, and the patterns that it `exclude`s.
    A pull has a `version` (NAME@VERSION), and `part` is the path that holds its bytes.
    `daemon` identifies the daemon across its restarts.
    """

    way: Literal["push", "pull"]
    daemon: str
    path: str
    size: int
    upload: str = ""
    version: str = ""
    part: str = ""
    follow_links: bool = False
    exclude: tuple[str, ...] = ()


class StateFile:
    """The state file of one transfer, locked by this process."""

    def __init__(self, file: LockedFile) -> None:
        self._file = file

    @classmethod
    @contextlib.contextmanager
    def acquire(cls, home: Path, *key: object) -> "Iterator[StateFile | None]":
        """Lock the state file of the transfer that `key` identifies; None if another process holds it.

        Failures, such as a home that must not be used, are ignored and yield None too: without a state file the
        transfer works but cannot be resumed.
        """
        name = hashlib.sha256("\0".join(map(str, key)).encode(errors="surrogateescape")).hexdigest()
        with contextlib.ExitStack() as stack:
            try:
                check_home(home)
                folder = _folder(home)
                file = stack.enter_context(LockedFile.try_acquire(folder / name))
            except (OSError, errors.OpStoreError):
                file = None
            # Its former owner may have removed it after we opened it and before we locked it.
            yield cls(file) if file is not None and file.is_at_path() else None

    def read(self) -> TransferState | None:
        """Return what an earlier process wrote; None if it wrote nothing, or nothing valid."""
        os.lseek(self._file.descriptor, 0, os.SEEK_SET)
        return _parsed(os.read(self._file.descriptor, MAX_STATE))

    def write(self, state: TransferState) -> None:
        """Write the state for a later process; failures are ignored."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.descriptor, 0)
            os.lseek(self._file.descriptor, 0, os.SEEK_SET)
            os.write(self._file.descriptor, msgspec.json.encode(state))

    def remove(self) -> None:
        """Delete the state file; failures are ignored."""
        with contextlib.suppress(OSError):
            self._file.path.unlink()


def recorded_transfers(home: Path, daemon: str) -> list[tuple[TransferState, bool]]:
    """Return the transfers from or to that daemon, and for each whether a process is working on it."""
    transfers = []
    with contextlib.suppress(OSError):
        for path in private.files_in(home / FOLDER):
            with contextlib.suppress(OSError), LockedFile.try_acquire(path, create=False, shared=True) as file:
                state = _parsed(private.read(path, MAX_STATE))
                if state is not None and state.daemon == daemon:
                    transfers.append((state, file is None))
    return transfers


def printable(path: str) -> str:
    """Return the absolute path with bytes that are not UTF-8 escaped, so that JSON can hold it."""
    return os.path.abspath(path).encode("utf-8", "backslashreplace").decode()


def _parsed(text: bytes) -> TransferState | None:
    try:
        state = records.decoder(TransferState).decode(text)
    except msgspec.DecodeError:
        return None
    # The upload becomes a part of a URL.
    return state if state.way == "pull" or _UPLOAD_ID.fullmatch(state.upload) else None


def _folder(home: Path) -> Path:
    folder = home / FOLDER
    private.make_folder(folder)
    oldest = time.time() - RETENTION
    for file in private.files_in(folder):
        with contextlib.suppress(OSError):
            if file.stat(follow_symlinks=False).st_mtime < oldest:
                _forget(file, oldest)
    return folder


def _forget(file: Path, oldest: float) -> None:
    """Delete the state file of a transfer that nobody resumed, and the bytes of a pull; raises OSError.

    Whatever runs stays, and a pull whose bytes changed since then.
    """
    with LockedFile.try_acquire(file, create=False) as lock:
        if lock is None or not lock.is_at_path():
            return
        state = _parsed(private.read(file, MAX_STATE))
        if state is not None and state.way == "pull" and _PART.fullmatch(os.path.basename(state.part)):
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(state.part).st_mtime >= oldest:
                    return
                remove_unused(Path(state.part))
        file.unlink()
