"""The folder of a backup.

manifest.json           what the backup has, written last (manifest.py)
opstore-POSITION-….db   the copy of the database that the manifest names
blobs/ab/abcdef…        the blobs, by the first two digits of their SHA-256
SHA256SUMS              for `sha256sum -c` (checksums.py)
opstore-backup.txt      which store it is a backup of, written first
backup.lock             see lock.py
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

from opstore_daemon.backup import files, lock, manifest
from opstore_daemon.backup.manifest import Manifest
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.store_ids import is_store_id
from opstore_daemon.system.stray_bytes import escape_stray_bytes

LABEL = "opstore-backup.txt"
CHECKSUMS = "SHA256SUMS"
_BLOB = re.compile(r"[0-9a-f]{64}")
# What a disk has of its own; names with a dot are those of file managers.
_NOT_CONTENT = {"lost+found", "System Volume Information"}
_TEXT = """\
A backup of the opstore store {store}

  check it     opstore backup --check DIR    (or: sha256sum --quiet -c {checksums})
  restore it   OPSTORE_HOME=NEW_FOLDER opstore restore DIR

Don't change the files here. You can copy the folder anywhere.
"""
_FIRST_LINE = re.compile(r"A backup of the opstore store ([0-9a-f]{32})\r?\n")


class BackupFolder:
    """The folder at `path`, which is absolute and free of symbolic links."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs = path / "blobs"
        self.checksums = path / CHECKSUMS

    @classmethod
    def existing(cls, path: Path) -> Self:
        """Return the folder of a backup that is to be read; raise BackupNotFound."""
        with files.translated(path):
            real = Path(os.path.realpath(path))
            if not real.exists():
                reason = "the directory does not exist"
                raise errors.BackupNotFound(folder=str(path), reason=reason, advice="")
            if not real.is_dir():
                raise errors.BackupNotFound(folder=str(path), reason="it is not a directory", advice="")
        return cls(real)

    @classmethod
    def to_write(cls, path: Path, apart_from: Sequence[Path]) -> Self:
        """Return the folder that a backup is written to, which may not exist yet.

        `apart_from`: the folders and files of the store. Raises BackupRefused if one contains the other, if the parent
        folder is missing, or if something else is at the path.
        """
        with files.translated(path):
            real = Path(os.path.realpath(path))
            if not real.exists():
                if path.is_symlink():
                    _refuse(f"{path} is a symbolic link to {real}, which does not exist")
                if not real.parent.is_dir():
                    # Not created: it may be the folder of a disk that is not mounted.
                    _refuse(f"directory {real.parent} does not exist", "create it, or choose another directory")
            elif not real.is_dir():
                _refuse(f"{path} is not a directory")
            check_apart(real, path, apart_from, "which is to be backed up")
        return cls(real)

    # --- who uses it, and whose it is -----------------------------------------------------------------------------

    @contextmanager
    def claimed(self, store_id: str) -> Iterator[bool]:
        """Create the folder, label it as a backup of the store, and hold it in the context.

        The value is whether the folder has locks. Raises BackupOfOtherStore, BackupInUse, BackupTooNew, BackupRefused
        if it has other content, and errors of the folder.
        """
        with files.translated(self.path):
            files.make_folder(self.path)
            self._check_store(store_id)
            with lock.writing(self.path) as is_locked:
                self._check_store(store_id)
                if self._labelled() is None:
                    text = _TEXT.format(store=store_id, checksums=CHECKSUMS)
                    files.replace(self.path / LABEL, text.encode())
                files.make_folder(self.blobs)
                if is_locked:
                    self._delete_parts(self.path)
                yield is_locked

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep backups from changing the folder in the context, as far as it has locks. Raises BackupInUse."""
        with files.translated(self.path), lock.reading(self.path):
            yield

    def _check_store(self, store_id: str) -> None:
        found = self._labelled()
        try:
            known = self.manifest()
        except errors.BackupDamaged:
            known = None  # a new backup repairs it
            if found is None:
                raise
        for each in (found, None if known is None else known.store_id):
            if each not in (None, store_id):
                raise errors.BackupOfOtherStore(folder=str(self.path), found=each, store=store_id)
        if found is None and known is None:
            self._check_empty()

    def _check_empty(self) -> None:
        for name in sorted(os.listdir(self.path)):
            if name not in _NOT_CONTENT and name != lock.NAME and not name.startswith("."):
                reason = f"{self.path} is not a backup, and has other files: {name}"
                _refuse(reason, "choose an empty directory, or a new one")

    def _labelled(self) -> str | None:
        """Return the id of the store whose backup this is, as far as it says so."""
        try:
            text = files.read_text(self.path / LABEL)
        except FileNotFoundError:
            return None
        found = _FIRST_LINE.match(text)
        return found[1] if found is not None and is_store_id(found[1]) else None

    # --- what it has ----------------------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """Return the manifest; None if there is none. Raises BackupDamaged, BackupTooNew and BackupFolderFailed."""
        return manifest.read(self.path, "copy it from where it is intact, or make the backup again")

    def require_manifest(self) -> Manifest:
        """Return the manifest; raise BackupNotFound if there is none, and what `manifest` raises."""
        found = self.manifest()
        if found is None:
            began = self._labelled() is not None
            reason = "the first backup has not been completed" if began else f"it has no {manifest.NAME}"
            advice = "complete it: run the same opstore backup again" if began else "opstore backup makes one"
            raise errors.BackupNotFound(folder=str(self.path), reason=reason, advice=advice)
        return found

    def describe(self, found: Manifest) -> dict[str, Any]:
        """Return the fields of a result (protocol.backup_lines.Backup) about the backup that the manifest describes."""
        names = ("store_id", "position", "schema", "release", "created_at", "ops", "versions", "stored", "blobs")
        return {
            **{name: getattr(found, name) for name in names},
            "folder": escape_stray_bytes(str(self.path)),
            "blobs_size": found.blobs_size,
            "database": found.database.name,
            "database_size": found.database.size,
        }

    def path_of(self, hex_digits: str) -> Path:
        """Return the path of the blob, whether or not it exists."""
        return self.blobs / hex_digits[:2] / hex_digits

    def blob_sizes(self, prefix: str, *, clean: bool = False) -> dict[str, int]:
        """Return the sizes of the blobs that begin with these two digits, by their hex digits.

        `clean`: delete what an interrupted backup left there. Raises OSError.
        """
        folder = self.blobs / prefix
        try:
            found = os.lstat(folder)
        except FileNotFoundError:
            return {}
        if not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        if clean:
            self._delete_parts(folder)
        with os.scandir(folder) as entries:
            return {
                entry.name: entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if _BLOB.fullmatch(entry.name) and entry.name[:2] == prefix and entry.is_file(follow_symlinks=False)
            }

    def databases(self) -> list[str]:
        """Return the names of the copies of databases. Raises OSError."""
        return [name for name in os.listdir(self.path) if manifest.is_database(name)]

    def _delete_parts(self, folder: Path) -> None:
        for name in os.listdir(folder):
            # SQLite adds to the name of the copy that it writes.
            if files.is_part(name.removesuffix("-journal").removesuffix("-wal").removesuffix("-shm")):
                os.unlink(folder / name)


def check_apart(folder: Path, path: Path, places: Sequence[Path], role: str) -> None:
    """Raise BackupRefused if the folder is in one of the places, or one of them in it.

    `path` is how the user named the folder, and `role` says what the places are.
    """
    for place in places:
        if contains(place, folder):
            _refuse(f"{path} is inside of {place}, {role}", "choose another directory")
        if contains(folder, place):
            _refuse(f"{path} contains {place}, {role}", "choose another directory")


def contains(outer: Path, inner: Path) -> bool:
    """Return whether `inner` is `outer` or in it, also through a mount of the same folder elsewhere."""
    try:
        found = outer.stat()
    except OSError:
        return inner == outer or outer in inner.parents
    for each in (inner, *inner.parents):
        try:
            if os.path.samestat(each.stat(), found):
                return True
        except OSError:
            continue
    return False


def _refuse(reason: str, advice: str = "") -> NoReturn:
    raise errors.BackupRefused(reason=reason, advice=advice)
