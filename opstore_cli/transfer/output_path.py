"""Choose the path that a version is written to, and check whether it can be written and has to be."""

import os
import stat
from pathlib import Path

from opstore_cli.files.part_file import make_executable
from opstore_cli.files.targets import leads_to_descriptor
from opstore_cli.transfer import source
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.file_suffixes import safe_suffix
from opstore_daemon.protocol.records import VersionRecord


def suffix_of(record: VersionRecord) -> str:
    """Return the suffix of the file that was pushed; none for a folder, or if it is not safe in a path."""
    return "" if record.is_folder else safe_suffix(record.filename)


def default_name(record: VersionRecord) -> str:
    """Return NAME-VERSION with the suffix of the file that was pushed."""
    return f"{record.op}-{record.version}{suffix_of(record)}"


def is_complete(record: VersionRecord, target: Path) -> bool:
    """Return whether the file or folder at the path has the bytes of the version, so that it need not be written."""
    # Nothing else is opened to compare it: opening a named pipe would wait for a writer.
    is_right_kind = os.path.isdir(target) if record.is_folder else os.path.isfile(target)
    return is_right_kind and source.has_bytes(target, record.digest, record.size)


def leave_alone(record: VersionRecord, target: Path) -> None:
    """Restore the executable bit of a file that is complete."""
    if record.executable and not record.is_folder:
        make_executable(target)


def check_path(target: Path, overwrite: bool) -> None:
    """Raise OutputExists or FileRefused if no version could be written there.

    What is there in a regular file or a folder does not count yet: it may be the version itself.
    """
    if not target.name or target.name == "..":
        raise errors.FileRefused(path=str(target), reason="it is a folder")
    if leads_to_descriptor(target):
        raise errors.FileRefused(path=str(target), reason="it is a stream of a process; for standard output use -o -")
    if not os.path.isdir(target.parent):
        raise errors.FileRefused(path=str(target), reason=f"the folder {target.parent} does not exist")
    if os.path.lexists(target) and not os.path.exists(target) and not overwrite:
        raise errors.OutputExists(path=str(target))  # a link to nothing
    # Replacing a device or a pipe would break it for everybody.
    if os.path.exists(target) and not os.path.isdir(target) and not stat.S_ISREG(os.stat(target).st_mode):
        raise errors.FileRefused(path=str(target), reason="it is not a regular file")


def check_path_of(record: VersionRecord, target: Path, overwrite: bool) -> None:
    """Raise OutputExists or FileRefused if this version could not be written there."""
    check_path(target, overwrite)
    if not os.path.isdir(target):
        if os.path.lexists(target) and not overwrite:
            raise errors.OutputExists(path=str(target))
        return
    if not record.is_folder:
        raise errors.FileRefused(path=str(target), reason="it is a folder")
    if not overwrite:
        raise errors.OutputExists(path=str(target))
    if not target.is_symlink() and contains_working_directory(target):
        raise errors.FileRefused(path=str(target), reason="it contains the working directory")


def contains_working_directory(target: Path) -> bool:
    """Return whether it is the working directory or a folder above it."""
    try:
        return Path.cwd().resolve().is_relative_to(target.resolve())
    except OSError:
        return False  # the working directory no longer exists
