"""The entries of a stored folder, from the headers of its stream: the contents of its files are not read.

The bytes of a header are not verified by the digest of the whole, which would take all of them, but by the header's own
checksum.
"""

import os
from dataclasses import dataclass, field
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.folder_format import FILE, FOLDER, InvalidFolder, padding, read_entry
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.savers import BaseSaver

MAX_ENTRIES = 500  # whose headers are read


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """An entry of a folder: `size` in bytes of a file, else None; `target` of a link, else None.

    `offset`: where its content begins in the stream.
    """

    path: str
    size: int | None
    target: str | None
    is_executable: bool
    offset: int = field(default=0, compare=False)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.size is None and self.target is None


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The first entries of a folder, in the order of the stream; `is_whole` if these are all of them.

    `problem` says why the rest can't be listed, in words; "" if there is no problem.
    """

    entries: list[FolderEntry]
    is_whole: bool
    problem: str = ""


def folder_listing(saver: BaseSaver, version: VersionRecord) -> FolderListing | None:
    """Return at most MAX_ENTRIES entries of a version; None unless it is a stored folder. Raises StorageFailed."""
    if not version.is_folder or version.digest is None:
        return None
    if version.damaged:
        return FolderListing([], is_whole=False, problem=f"its bytes are damaged: {version.damaged}")
    try:
        file = saver.open(Digest.parse(version.digest))
    except errors.BlobNotFound:
        return FolderListing([], is_whole=False, problem="its bytes are missing")
    except errors.StorageFailed as error:  # something else may be in their place
        return FolderListing([], is_whole=False, problem=error.text)
    with file:
        return _read(file)


def _read(file: BinaryIO) -> FolderListing:
    entries: list[FolderEntry] = []
    try:
        while len(entries) < MAX_ENTRIES:
            entry = read_entry(lambda count: _read_exactly(file, count))
            if entry is None:
                return FolderListing(entries, is_whole=True)
            text = entry.path.decode(errors="backslashreplace")
            target = entry.target.decode(errors="backslashreplace") if entry.kind not in (FILE, FOLDER) else None
            size = entry.size if entry.kind == FILE else None
            entries.append(FolderEntry(text, size, target, entry.executable, file.tell()))
            file.seek(entry.size + padding(entry.size), os.SEEK_CUR)
        is_end = read_entry(lambda count: _read_exactly(file, count)) is None
    except InvalidFolder as error:
        return FolderListing(entries, is_whole=False, problem=str(error))
    return FolderListing(entries, is_whole=is_end)


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise InvalidFolder("it ends early")
    return data
