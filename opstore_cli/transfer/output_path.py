"""Check whether a version can be written to a path, before its bytes are requested."""

import os
import stat
from pathlib import Path

from opstore_cli.files.targets import leads_to_descriptor
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord


def check_path(target: Path, overwrite: bool) -> None:
    """Raise OutputExists or FileRefused if no version could be written there."""
    if not target.name or target.name == "..":
        raise errors.FileRefused(path=str(target), reason="it is a folder")
    if leads_to_descriptor(target):
        raise errors.FileRefused(path=str(target), reason="it is a stream of a process; for standard output use -o -")
    if not os.path.isdir(target.parent):
        raise errors.FileRefused(path=str(target), reason=f"the folder {target.parent} does not exist")
    if os.path.lexists(target) and not os.path.isdir(target):
        if not overwrite:
            raise errors.OutputExists(path=str(target))
        # Replacing a device or a pipe would break it for everybody.
        if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            raise errors.FileRefused(path=str(target), reason="it is not a regular file")


def check_path_of(record: VersionRecord, target: Path, overwrite: bool) -> None:
    """Raise OutputExists or FileRefused if this version could not be written there."""
    check_path(target, overwrite)
    if not os.path.isdir(target):
        return
    if not record.is_folder:
        raise errors.FileRefused(path=str(target), reason="it is a folder")
    if not overwrite:
        raise errors.OutputExists(path=str(target))
    if not target.is_symlink() and _contains_working_directory(target):
        raise errors.FileRefused(path=str(target), reason="it contains the working directory")


def _contains_working_directory(target: Path) -> bool:
    try:
        return Path.cwd().resolve().is_relative_to(target.resolve())
    except OSError:
        return False  # the working directory no longer exists
