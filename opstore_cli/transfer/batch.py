"""The ops that the files of a folder are called after (`push --all`)."""

import os
import stat

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import check_name

# Endings that stand behind another one: model.joblib.gz, weights.tar.zst.
_PACKED = frozenset([".bz2", ".gz", ".lz4", ".lzma", ".xz", ".zst"])


def op_of(filename: str) -> str:
    """The name of the file without its ending, or its two endings where the last says how the file was compressed."""
    stem, ending = os.path.splitext(filename)
    return os.path.splitext(stem)[0] if ending.lower() in _PACKED else stem


def named_by_their_files(folder: str) -> dict[str, str]:
    """The path for each op: of the files and folders in the folder, but for those that begin with a dot.

    Links are followed. Raises InvalidName, and FileRefused for what is no file, and where two have the same name.
    """
    found: dict[str, str] = {}
    for filename in sorted(_listing(folder)):
        if filename.startswith("."):
            continue
        path = os.path.join(folder, filename)
        op = check_name(filename if _is_folder(path) else op_of(filename))
        if op in found:
            raise errors.FileRefused(path=path, reason=f"it would be the op {op}, as {found[op]} is")
        found[op] = path
    if not found:
        raise errors.FileRefused(path=folder, reason="there is nothing in it to push")
    return found


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise errors.FileRefused(path=folder, reason=error.strerror or str(error)) from None


def _is_folder(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise errors.FileRefused(path=path, reason=error.strerror or str(error)) from None
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise errors.FileRefused(path=path, reason="it is no file and no folder")
    return stat.S_ISDIR(mode)
