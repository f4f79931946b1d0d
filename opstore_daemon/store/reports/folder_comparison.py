"""Compare the files of two stored folders for the page, within a limit of bytes that are read.

Entries that differ in their headers need no more. Files of one size are read and compared until MAX_BYTES are used up:
two versions of a model often have weights of the same size.
"""

from dataclasses import dataclass
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.reports.folder import FolderEntry, folder_listing

MAX_BYTES = 32 * 1024**2  # of each folder that are compared


@dataclass(frozen=True, slots=True)
class FileDifference:
    """An entry that differs; None where a folder does not have it. If both are equal, the contents differ."""

    path: str
    one: FolderEntry | None
    other: FolderEntry | None


@dataclass(frozen=True, slots=True)
class FolderComparison:
    """The entries that differ, and how many are the same.

    `unread` counts files of one size that were not compared, because the limit was reached or bytes are missing; they
    are in neither of the others. `is_whole`: all entries of both folders were compared.
    """

    differences: list[FileDifference]
    same: int
    unread: int
    is_whole: bool


def compare_folders(saver: BaseSaver, one: VersionRecord, other: VersionRecord) -> FolderComparison | None:
    """Return the comparison of two versions; None unless both are stored folders. Raises StorageFailed."""
    listings = folder_listing(saver, one), folder_listing(saver, other)
    if listings[0] is None or listings[1] is None:
        return None
    ones, others = ({entry.path: entry for entry in listing.entries} for listing in listings if listing is not None)
    is_whole = listings[0].is_whole and listings[1].is_whole
    both = [path for path in ones if path in others]
    changed = {path for path in both if ones[path] != others[path]}
    unread = 0
    if one.digest != other.digest:
        candidates = [(ones[path], others[path]) for path in both if path not in changed and ones[path].size]
        contents, unread = _compare_contents(saver, one, other, candidates)
        changed |= contents
    # A folder is there or not as its files are. An entry that only one incomplete listing has may be in both folders.
    missing = {path for path in ones.keys() ^ others.keys() if is_whole and not (ones | others)[path].is_folder}
    differences = [FileDifference(path, ones.get(path), others.get(path)) for path in sorted(changed | missing)]
    return FolderComparison(differences, len(both) - len(changed) - unread, unread, is_whole)


def _compare_contents(
    saver: BaseSaver, one: VersionRecord, other: VersionRecord, pairs: list[tuple[FolderEntry, FolderEntry]]
) -> tuple[set[str], int]:
    """Return the paths of the pairs whose contents differ, and the number of pairs that were not compared."""
    changed: set[str] = set()
    unread, left = 0, MAX_BYTES
    try:
        with saver.open(Digest.parse(str(one.digest))) as file, saver.open(Digest.parse(str(other.digest))) as second:
            for entry, same in pairs:
                size = entry.size or 0
                if size > left:
                    unread += 1
                    continue
                left -= size
                if not _are_equal(file, entry.offset, second, same.offset, size):
                    changed.add(entry.path)
    except errors.BlobNotFound:  # removed while the page was made
        return set(), len(pairs)
    return changed, unread


def _are_equal(file: BinaryIO, offset: int, other: BinaryIO, other_offset: int, size: int) -> bool:
    """Return whether two parts of files have the same bytes."""
    file.seek(offset)
    other.seek(other_offset)
    while size > 0:
        count = min(size, READ_SIZE)
        if file.read(count) != other.read(count):
            return False
        size -= count
    return True
