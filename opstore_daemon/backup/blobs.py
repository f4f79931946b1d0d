"""Copy the blobs that a copy of the database names from the store into a backup, and verify those of a backup.

A blob gets its name in the backup when its bytes were read back and have the digest of its name. So whatever has such a
name was intact once, and a blob of the right size is not copied again.
"""

import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from opstore_daemon.backup import database_copy, files
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.backup.reporting import Report, Step, count_of
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Problem
from opstore_daemon.protocol.digests import PREFIX, Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import BaseSaver

# What a read of one damaged blob fails with. Anything else, such as too many open files, is no fault of the blob.
_OF_THE_BLOB = {errno.EIO, errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM}


@dataclass
class Copied:
    """The result of `copy`: numbers and bytes of the copied blobs and of those that were there, and problems."""

    copied: int = 0
    copied_size: int = 0
    present: int = 0
    present_size: int = 0
    problems: list[Problem] = field(default_factory=list)

    def count_copied(self, size: int) -> None:
        """Count a blob that was copied."""
        self.copied, self.copied_size = self.copied + 1, self.copied_size + size

    def count_present(self, size: int) -> None:
        """Count a blob that was there."""
        self.present, self.present_size = self.present + 1, self.present_size + size


class Damaged(Exception):
    """The bytes of a blob are not those of its digest, or can't be read; the text says what was observed."""


def copy(saver: BaseSaver, database: Path, folder: BackupFolder, report: Report, *, checksum: bool) -> Copied:
    """Copy the blobs that the copy of the database names. Raises errors of the folder and of the saver.

    `checksum`: read those that the folder has already, and copy them again if they are damaged.
    """
    done = Copied()
    with database_copy.translated(database), database_copy.opened_copy(database) as connection:
        found = database_copy.facts(connection, database)
        step = Step(report, f"copying {count_of(found.blobs, 'blob')}", found.blobs_size)
        for prefix, wanted in database_copy.blobs(connection, database):
            if not wanted:
                continue
            with files.translated(folder.path):
                sizes = folder.blob_sizes(prefix, clean=True)
                files.make_folder(folder.blobs / prefix)
            for hex_digits, size in wanted:
                if sizes.get(hex_digits) == size and not (checksum and _is_damaged(folder.path_of(hex_digits))):
                    done.count_present(size)
                    step.advance(size)
                    continue
                try:
                    _copy(saver, folder, hex_digits, size, step)
                    done.count_copied(size)
                except Damaged as damage:
                    problem = database_copy.problem(connection, hex_digits, str(damage))
                    done.problems.append(problem)
                    report(problem)
            with files.translated(folder.path):
                files.sync_names(folder.blobs / prefix)
    return done


def _is_damaged(path: Path) -> bool:
    try:
        return files.sha256_of(files.pieces_of(path)) != path.name
    except OSError:
        return True  # copied again, which says what is wrong


def _copy(saver: BaseSaver, folder: BackupFolder, hex_digits: str, size: int, step: Step) -> None:
    """Copy one blob; raise Damaged, and errors of the folder."""
    target = folder.path_of(hex_digits)
    with files.translated(folder.path), files.part_of(target) as part:
        files.write(part, counted(verified(pieces_in(opener(saver, hex_digits)), hex_digits, size), step))
        if files.sha256_of(files.pieces_of(part)) != hex_digits:
            raise OSError(errno.EIO, "the bytes that were written were read back as other ones", str(target))
        files.publish(part, target)


def opener(saver: BaseSaver, hex_digits: str) -> Callable[[], BinaryIO]:
    """Return what opens a blob of the saver."""
    return partial(saver.open, Digest(PREFIX + hex_digits))


def pieces_in(open_blob: Callable[[], BinaryIO]) -> Iterator[bytes]:
    """Yield the bytes of a blob of a saver; raise Damaged if it is missing or can't be read."""
    try:
        with closing(open_blob()) as blob:
            while piece := blob.read(READ_SIZE):
                yield piece
    except errors.BlobNotFound:
        raise Damaged("is missing") from None
    except errors.StorageFailed as error:
        if getattr(error.__cause__, "errno", None) in _OF_THE_BLOB:
            raise Damaged(f"can't be read: {error.details['reason']}") from error
        raise


def pieces_of(folder: BackupFolder, hex_digits: str) -> Iterator[bytes]:
    """Yield the bytes of a blob of the backup; raise Damaged if it is missing or can't be read."""
    try:
        yield from files.pieces_of(folder.path_of(hex_digits))
    except FileNotFoundError:
        raise Damaged("is missing") from None
    except OSError as error:
        if error.errno in _OF_THE_BLOB:
            raise Damaged(f"can't be read: {errors.reason(error)}") from error
        raise


def verified(pieces: Iterator[bytes], hex_digits: str, size: int) -> Iterator[bytes]:
    """Yield the bytes; raise Damaged, at the latest after the last one, unless they have this digest and size."""
    found, count = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        count += len(piece)
        yield piece
    if count != size:
        raise Damaged(f"has {count_of(count, 'byte')} instead of {size}")
    if found.hexdigest() != hex_digits:
        raise Damaged("is damaged: its bytes have another SHA-256")


def counted(pieces: Iterator[bytes], step: Step) -> Iterator[bytes]:
    """Yield the bytes, and count them as done."""
    for piece in pieces:
        yield piece
        step.advance(len(piece))
