"""What `fsck` does in the folder of a FileSaver: look at every name in it, and move damaged blobs to quarantine/."""

import os
import re
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from opstore_daemon.protocol.digests import PREFIX, Digest
from opstore_daemon.savers.base import is_upload
from opstore_daemon.savers.examination import Irregularity, Stored
from opstore_daemon.savers.folder_identity import FILES, STORE_ID
from opstore_daemon.savers.posix import translated
from opstore_daemon.savers.quarantine import QUARANTINE, move_away

# Other names that may be at the top of the folder: what the collector keeps there.
_KEPT = {"trash", QUARANTINE, "collect.lock"}

_FOLDERS = {"blobs", "staging"}
NAMES = FILES | _KEPT | _FOLDERS | {f"{STORE_ID}.new"}
"""All names at the top of the folder of a saver."""
_FOLDER = re.compile(r"[0-9a-f]{2}")
_BLOB = re.compile(r"[0-9a-f]{64}")
_SPARE = ".spare"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOOK = "look at it, and move it away if nothing of yours needs it there"


class FolderExamination:
    """Looks at the folder `root`, which has the blobs in blobs/ and the drafts in staging/."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def examine(self, path: Path) -> Stored | None:
        """Return what is at the path of a blob; None if nothing is. Raises StorageFailed."""
        with translated("looking for a blob"):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(found.st_mode):
                return Stored(found.st_size, f"in its place is {_kind(found)}", _state(found), is_other=True)
            problem = None if _is_readable(path, found) else f"the daemon may not read it: {_owner(found)}"
            return Stored(found.st_size, problem, _state(found))

    def quarantine(self, path: Path, state: str) -> bool:
        """Move what is at the path to quarantine/ if it has that state; return whether it did. Raises StorageFailed."""
        with translated("moving a damaged blob to the quarantine"):
            try:
                if _state(os.lstat(path)) != state:
                    return False
                move_away(self._root, path)
            except FileNotFoundError:
                return False
        return True

    def parts(self) -> Sequence[str]:
        """Return the top of the folder, each folder of blobs, the folder of these, and staging/."""
        return (".", *(f"{number:02x}" for number in range(256)), "folders", "staging")

    def survey(self, part: str) -> Iterator[Digest | Irregularity]:
        """Yield the blobs in the part, and what should not be there. Raises StorageFailed."""
        look = {".": self._top, "folders": self._folders, "staging": self._staging}.get(part)
        return self._blobs(part) if look is None else look()

    def _top(self) -> Iterator[Irregularity]:
        yield from self._permissions()
        for entry in _entries(self._root):
            if entry.name == f"{STORE_ID}.new":
                yield from self._leftover(entry, "a start that was interrupted left it")
            elif entry.name not in NAMES:
                yield from self._foreign(entry)

    def _permissions(self) -> Iterator[Irregularity]:
        """Yield what lets other users read or replace blobs: the folders protect all that is in them."""
        with translated("looking at the store's folders"):
            root = os.lstat(self._root).st_mode
            modes = {name: os.lstat(self._root / name).st_mode for name in ("blobs", "staging")}
        if root & (stat.S_IWGRP | stat.S_IWOTH) and not root & stat.S_ISVTX:
            yield _open_to_others(self._root, root, "other users can replace what is in it")
        for name, mode in modes.items():
            if root & mode & _OTHERS:
                yield _open_to_others(self._root / name, mode, "other users can enter it")

    def _folders(self) -> Iterator[Irregularity]:
        for entry in _entries(self._root / "blobs"):
            if not (_FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)):
                yield from self._foreign(entry)

    def _staging(self) -> Iterator[Irregularity]:
        for entry in _entries(self._root / "staging"):
            draft = entry.name.removesuffix(_SPARE)
            if not is_upload(draft) or not entry.is_file(follow_symlinks=False):
                yield from self._foreign(entry)
            elif draft != entry.name and not os.path.lexists(self._root / "staging" / draft):
                yield from self._leftover(entry, "an upload that was interrupted left it")

    def _blobs(self, part: str) -> Iterator[Digest | Irregularity]:
        folder = self._root / "blobs" / part
        with translated("looking at the store's folders"), suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return  # found among the folders
        for entry in _entries(folder):
            if _BLOB.fullmatch(entry.name) and entry.name.startswith(part):
                # Also of what is no file: whether a version needs it decides what that means.
                yield Digest(PREFIX + entry.name)
            else:
                yield from self._foreign(entry)

    def _foreign(self, entry: "os.DirEntry[str]") -> Iterator[Irregularity]:
        found = None
        with translated("looking at the storage"), suppress(FileNotFoundError):  # gone meanwhile
            found = os.lstat(entry.path)
        if found is not None:
            yield Irregularity("foreign", entry.path, f"{_kind(found)} that is not the store's", _LOOK)

    def _leftover(self, entry: "os.DirEntry[str]", why: str) -> Iterator[Irregularity]:
        if os.path.lexists(entry.path):
            yield Irregularity("leftover", entry.path, why, "opstore restart: a start deletes it")


def _open_to_others(path: Path, mode: int, what: str) -> Irregularity:
    observed = f"its mode is {stat.S_IMODE(mode):04o}: {what}"
    return Irregularity("permissions", str(path), observed, f"chmod 700 {shlex.quote(str(path))}")


def _entries(folder: Path) -> "Iterator[os.DirEntry[str]]":
    """Yield the entries of the folder as the system returns them; none if there is no such folder."""
    with translated("listing the storage"):
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            return
        with entries:
            yield from entries


def _is_readable(path: Path, found: os.stat_result) -> bool:
    # The usual blob needs no further call.
    is_ours = found.st_uid == os.geteuid() and found.st_mode & stat.S_IRUSR
    return bool(is_ours) or os.access(path, os.R_OK)


def _owner(found: os.stat_result) -> str:
    return f"its mode is {stat.S_IMODE(found.st_mode):04o} and its owner {found.st_uid}"


def _state(found: os.stat_result) -> str:
    return f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _kind(found: os.stat_result) -> str:
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(found.st_mode), "a device or socket")
