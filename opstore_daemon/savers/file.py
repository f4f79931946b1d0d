"""A saver in a folder: blobs/ab/<64 hex digits>, staging/<upload> and trash/<64 hex digits> on one file system.

Beside them are the files lock, store-id, position and collect.lock.
"""

import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import PREFIX, Digest
from opstore_daemon.savers import posix, quarantine
from opstore_daemon.savers.base import BaseSaver, Draft, Quarantined, Trashed, check_upload, is_upload
from opstore_daemon.savers.collection_lock import FolderCollectionLock
from opstore_daemon.savers.examination import Irregularity, Stored
from opstore_daemon.savers.file_draft import SPARE, BlobDirectory, FileDraft, reopen, temp_name
from opstore_daemon.savers.file_examination import FolderExamination
from opstore_daemon.savers.folder_identity import FolderIdentity
from opstore_daemon.savers.pipe import Pipes
from opstore_daemon.savers.posix import translated

_FOLDER = re.compile(r"[0-9a-f]{2}")
_BLOB = re.compile(r"[0-9a-f]{64}")


class FileSaver(BaseSaver):
    """Blobs as files, which `sha256sum` can verify. Only the user who runs the daemon can enter the folder.

    Folders have mode 0700, drafts 0600, blobs 0400. Paths are made of digests and upload ids only.
    """

    def __init__(self, root_path: str | Path) -> None:
        """Create the folder and its parents if they are missing; raises StorageFailed."""
        self.root = Path(root_path).absolute()
        self._blobs = self.root / "blobs"
        self._staging = self.root / "staging"
        self._trash = self.root / "trash"
        self._directory, self._pipes = BlobDirectory(self._blobs), Pipes()
        self._identity, self._examination = FolderIdentity(self.root), FolderExamination(self.root)
        self._collection_lock = FolderCollectionLock(self.root)
        with translated("making the store's folders"):
            self._make_folders()

    def draft(self, upload: str) -> Draft:
        path = self._staging / check_upload(upload)
        with translated("opening a draft"):
            try:
                return FileDraft(self._directory, path, posix.open_new(path), self._pipes)
            except FileExistsError:
                return FileDraft(self._directory, path, reopen(path), self._pipes)

    def drafts(self) -> Iterator[str]:
        with translated("listing the drafts"):
            # With those of which a crash left nothing but a second name.
            names = {name.removesuffix(SPARE) for name in os.listdir(self._staging)}
        return iter([name for name in names if is_upload(name)])

    def staged_size(self, upload: str) -> int:
        path = self._staging / check_upload(upload)
        with translated("looking for a draft"):
            try:
                return os.lstat(path).st_size
            except FileNotFoundError:
                return 0

    def discard(self, upload: str) -> None:
        path = self._staging / check_upload(upload)
        with translated("discarding a draft"):
            # The draft's own name last: while it exists, drafts() shows that there is something to discard.
            posix.unlink(temp_name(path))
            posix.unlink(path)

    def open(self, digest: Digest) -> BinaryIO:
        path = self._directory.path_of(digest)
        with translated("opening a blob"):
            try:
                fd = posix.open_regular(path, os.O_RDONLY)
            except FileNotFoundError:
                raise errors.BlobNotFound(digest=digest) from None
        return io.BufferedReader(_BlobFile(fd, "rb"))

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, str):
            return False
        try:
            self._stat(Digest.parse(digest))
        except (errors.BlobNotFound, errors.InvalidDigest):
            return False
        return True

    def size(self, digest: Digest) -> int:
        return self._stat(digest).st_size

    def published_at(self, digest: Digest) -> float:
        return self._stat(digest).st_mtime

    def delete(self, digest: Digest) -> None:
        path = self._directory.path_of(digest)
        with translated("deleting a blob"):
            posix.unlink(path)

    def __iter__(self) -> Iterator[Digest]:
        for folder in _names(self._blobs, _FOLDER, _is_folder):
            for name in _names(self._blobs / folder, _BLOB, _is_file):
                if name.startswith(folder):
                    yield Digest(PREFIX + name)

    @property
    def collection_lock(self) -> FolderCollectionLock:
        return self._collection_lock

    def trash(self, digest: Digest) -> None:
        path, target = self._directory.path_of(digest), self._in_trash(digest)
        with translated("moving a blob to the trash"):
            # First: rename(2) does nothing if both are names of one file, as after a second publish of one draft.
            posix.unlink(target)
            try:
                os.rename(path, target)
            except FileNotFoundError:
                if not os.path.lexists(path):
                    return
                posix.make_folder(self._trash)  # somebody emptied the trash by hand
                os.rename(path, target)
            with suppress(OSError):  # it is purged earlier then
                os.utime(target)

    def trashed(self) -> Iterator[Trashed]:
        with translated("listing the trash"):
            is_there = self._trash.exists()
        for name in _names(self._trash, _BLOB, _is_file, "listing the trash") if is_there else ():
            with translated("looking at the trash"), suppress(FileNotFoundError):
                found = os.lstat(self._trash / name)
                yield Trashed(Digest(PREFIX + name), found.st_size, found.st_mtime)

    def purge(self, digest: Digest) -> None:
        with translated("purging the trash"):
            posix.unlink(self._in_trash(digest))

    def free(self) -> int | None:
        with translated("asking for the free space"):
            room = os.statvfs(self.root)
        return room.f_bavail * room.f_frsize

    def examine(self, digest: Digest) -> Stored:
        found = self._examination.examine(self._directory.path_of(digest))
        if found is None:
            raise errors.BlobNotFound(digest=digest)
        return found

    def parts(self) -> Sequence[str]:
        return self._examination.parts()

    def survey(self, part: str) -> Iterator[Digest | Irregularity]:
        return self._examination.survey(part)

    def quarantine(self, digest: Digest, state: str) -> bool:
        return self._examination.quarantine(self._directory.path_of(digest), state)

    def quarantined(self) -> Iterator[Quarantined]:
        with translated("listing the quarantine"):
            return iter(list(quarantine.listed(self.root)))

    def purge_quarantined(self, name: str) -> None:
        with translated("purging the quarantine"):
            quarantine.delete(self.root, name)

    carries_id = True

    def place(self) -> str:
        return str(self.root)

    def acquire(self, home: str | None = None) -> None:
        self._identity.acquire(home)

    def release(self) -> None:
        self._identity.release()

    def check_place(self) -> None:
        self._identity.check_place()

    def store_id(self) -> str | None:
        return self._identity.store_id()

    def claim(self, store_id: str) -> None:
        self._identity.claim(store_id)
        self._collection_lock.make()

    def position(self) -> int:
        return self._identity.position()

    def record_position(self, position: int) -> None:
        self._identity.record_position(position)

    def _make_folders(self) -> None:
        missing = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        for folder in reversed(missing):
            posix.make_folder(folder)
            posix.sync_folder(folder.parent)
        for folder in (self._blobs, self._staging, self._trash):
            posix.make_folder(folder)
            with posix.opened_folder(folder):  # refuses links and files: renames must stay on one disk
                pass
        posix.sync_folder(self.root)

    def _in_trash(self, digest: Digest) -> Path:
        return self._trash / Digest.parse(digest).hex

    def _stat(self, digest: Digest) -> os.stat_result:
        path = self._directory.path_of(digest)
        with translated("looking for a blob"), suppress(FileNotFoundError):
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode):
                return found
        raise errors.BlobNotFound(digest=digest)


class _BlobFile(io.FileIO):
    """A blob being read; read errors raise StorageFailed."""

    def readinto(self, buffer: Any, /) -> int | None:
        with translated("reading a blob"):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with translated("reading a blob"):
            return super().readall()


def _names(
    folder: Path,
    legal: re.Pattern[str],
    is_ours: Callable[["os.DirEntry[str]"], bool],
    doing: str = "listing the blobs",
) -> list[str]:
    with translated(doing), os.scandir(folder) as entries:
        return [entry.name for entry in entries if legal.fullmatch(entry.name) and is_ours(entry)]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False)
