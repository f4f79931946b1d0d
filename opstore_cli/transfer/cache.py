"""The cache of pulled versions: read-only files and folders, by digest, of a bounded size, for many processes.

An entry is verified whenever it is handed out: its bytes are hashed, so that a damaged or replaced one is pulled again.
It has two locks. `HEX.use` is shared by all who have its path, and nobody deletes an entry that is in use; `HEX.fill`
is held by the one that pulls it, and the others wait for the entry. A process that is killed releases both, and leaves
nothing but a part from which the next pull resumes.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.files.entry_lock import EntryLock
from opstore_cli.files.leftovers import remove_unused
from opstore_cli.files.read_only import WRITABLE, make_read_only, remove_read_only
from opstore_cli.transfer.source import digest_of_path
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import VersionRecord

_ENTRY = re.compile(r"([0-9a-f]{64})(?:\.folder)?", re.ASCII)
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# The cache of opstore: see https://bford.info/cachedir/\n"

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # Path itself can't be subclassed before Python 3.12


class CachedPath(_Path):
    """The path of a verified, read-only file or folder in the cache, which stays there as long as this object lives."""

    _use: EntryLock | None = None

    @classmethod
    def of(cls, path: Path, use: EntryLock) -> "CachedPath":
        """Return the path, which holds the lock."""
        made = cls(path)
        made._use = use
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (os.fspath(self),)

    def __repr__(self) -> str:
        return f"{Path.__name__}({os.fspath(self)!r})"


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of pulled versions, at most `size` bytes apart from those that are in use."""

    folder: Path
    size: int

    def path(self, version: VersionRecord, pull: Callable[[Path], object]) -> CachedPath:
        """Return the path of a verified copy. `pull` writes the verified bytes to a path, and replaces what is there.

        Raises OutputFailed if the cache can't be written, NotStored, and what `pull` raises.
        """
        if version.digest is None:
            raise errors.NotStored(op=version.op, version=version.version)
        digest = Digest.parse(version.digest)
        entry = self._entry(version, digest)
        try:
            self._prepare()
            use = EntryLock.acquire(_lock(entry, "use"), shared=True)
            if not _is_complete(entry, digest, version.size):
                self._fill(entry, digest, version.size, pull)
            os.utime(_lock(entry, "use"))
        except OSError as error:
            reason = f"{errors.reason(error)}; OPSTORE_CACHE sets another folder for the cache"
            raise errors.OutputFailed(path=str(self.folder), reason=reason) from error
        return CachedPath.of(entry, use)

    def may_have(self, version: VersionRecord) -> bool:
        """Return whether there is an entry of its digest, which `path` verifies, and replaces if it is damaged."""
        return version.digest is not None and os.path.lexists(self._entry(version, Digest.parse(version.digest)))

    def _entry(self, version: VersionRecord, digest: Digest) -> Path:
        return self.folder / f"{digest.hex}{'.folder' if version.is_folder else ''}"

    def _prepare(self) -> None:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        found = os.stat(self.folder)
        if os.name == "posix" and found.st_uid != os.geteuid():
            raise PermissionError(None, "it belongs to another user")
        if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(None, "others can write to it")
        with suppress(FileExistsError):
            descriptor = os.open(self.folder / "CACHEDIR.TAG", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as tag:
                tag.write(_TAG)

    def _fill(self, entry: Path, digest: Digest, size: int | None, pull: Callable[[Path], object]) -> None:
        with EntryLock.acquire(_lock(entry, "fill"), shared=False):
            if _is_complete(entry, digest, size):
                return  # another process or thread pulled it meanwhile
            if entry.is_symlink() or not entry.is_file():  # a file is replaced when the right bytes are there
                remove_read_only(entry)
            pull(entry)
            make_read_only(entry)
        self._evict(entry)

    def _evict(self, kept: Path) -> None:
        """Delete the entries that were not used for longest, and nobody uses, until the others fit. Failures pass."""
        entries = sorted(self._entries(), key=lambda each: each.last_use)
        total = sum(each.size for each in entries)
        for each in entries:
            if total <= self.size:
                return
            if each.path != kept and _evict(each.path):
                total -= each.size

    def _entries(self) -> Iterator["_Entry"]:
        for name in os.listdir(self.folder):
            path = self.folder / name
            is_part = name.endswith((".part", ".old"))
            if is_part or _ENTRY.fullmatch(name):
                with suppress(OSError):
                    yield _Entry(path, _size(path), (path if is_part else _lock(path, "use")).lstat().st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    size: int  # bytes
    last_use: int  # ns since 1970


def _lock(entry: Path, purpose: str) -> Path:
    return entry.with_name(f"{entry.name}.{purpose}")


def _is_complete(entry: Path, digest: Digest, size: int | None) -> bool:
    """Return whether the entry has the bytes of the digest. A link or a device in its place is not followed."""
    try:
        found = entry.lstat()
    except FileNotFoundError:
        return False
    mode = found.st_mode
    is_expected = stat.S_ISDIR(mode) if entry.suffix else stat.S_ISREG(mode) and found.st_size == size
    if not is_expected or digest_of_path(entry) != digest:
        return False
    if mode & WRITABLE:  # a process was killed after its pull
        make_read_only(entry)
    return True


def _evict(path: Path) -> bool:
    """Delete the entry or the part unless somebody uses it, and return whether it is gone."""
    with suppress(OSError):
        if not _ENTRY.fullmatch(path.name):
            remove_unused(path)
        elif (lock := EntryLock.try_acquire(_lock(path, "use"))) is not None:
            with lock:
                remove_read_only(path)
                for purpose in ("fill", "use"):  # who waits for the latter looks whether it is still there
                    _lock(path, purpose).unlink(missing_ok=True)
    return not os.path.lexists(path)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    files = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(os.lstat(file).st_size for file in files)
