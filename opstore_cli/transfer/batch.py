"""The ops of `push --all`: each file or folder in a folder is pushed to the op that is named after it."""

import os
import stat
from collections.abc import Sequence

from opstore_cli.folders.ignore import IgnoreRules
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.file_suffixes import split_suffix
from opstore_daemon.protocol.names import OpName


def sources_by_op(folder: str, exclude: Sequence[str] = ()) -> dict[OpName, str]:
    """Return the path to push for each op. Links are followed.

    Entries that begin with a dot are skipped, and those that a pattern of `exclude` or of the folder's `.opstoreignore`
    matches. Raises InvalidName, and FileRefused if an entry is neither file nor folder or two entries map to the same
    op.
    """
    sources: dict[OpName, str] = {}
    rules = IgnoreRules.of_folder(folder, exclude)
    with errors.translated(OSError, to=errors.FileRefused, path=folder):
        filenames = sorted(os.listdir(folder))
    for filename in filenames:
        path = os.path.join(folder, filename)
        if filename.startswith(".") or rules.deciding(os.fsencode(filename), os.path.isdir(path)):
            continue
        op = OpName.parse(filename if _is_folder(path) else split_suffix(filename)[0])
        if op in sources:
            raise errors.FileRefused(path=path, reason=f"it maps to the op {op}, and so does {sources[op]}")
        sources[op] = path
    if not sources:
        raise errors.FileRefused(path=folder, reason="there is nothing in it to push")
    return sources


def _is_folder(path: str) -> bool:
    with errors.translated(OSError, to=errors.FileRefused, path=path):
        mode = os.stat(path).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise errors.FileRefused(path=path, reason="it is neither a file nor a folder")
    return stat.S_ISDIR(mode)
