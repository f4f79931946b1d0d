"""What to do about a failure of the operating system: advice that can harm nothing."""

import errno
import os
from pathlib import Path

from opstore_cli.doctor.machine import quoted

_READ_ONLY = "make its file system writable, or set OPSTORE_HOME to a folder that can be written"
_FULL = "free some space on its disk, or set OPSTORE_HOME to a folder on a larger one"
_FAILING = "copy what can still be read to another disk before anything else: this one may be failing"
_FILES = "close what has many files open, or raise the limit (ulimit -n)"
_NAMES = "check its path"
_BY_NUMBER = {
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EIO: _FAILING,
    errno.ESTALE: "look at the network folder that it is in: its server no longer knows the file",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOENT: _NAMES,
    errno.ENOTDIR: _NAMES,
    errno.ELOOP: "put the file itself there, in place of the symbolic link",
    errno.ENAMETOOLONG: _NAMES,
}
_OTHERWISE = "fix that, and run opstore doctor again"


def advice_for(error: OSError, path: Path) -> str:
    """Return what to do about the error of a call on the path."""
    return _advice(error.errno, path)


def advice_for_words(words: str, path: Path) -> str | None:
    """Return what to do about an error that another process reported in the system's words; None if there are none."""
    numbers = (*_BY_NUMBER, errno.EACCES, errno.EPERM)
    number = next((number for number in numbers if os.strerror(number).lower() in words.lower()), None)
    return None if number is None else _advice(number, path)


def _advice(number: int | None, path: Path) -> str:
    if number in (errno.EACCES, errno.EPERM):
        return f"ls -ld {quoted(path)} shows who may use it: run opstore as its owner, or set OPSTORE_HOME"
    return _BY_NUMBER.get(number or 0, _OTHERWISE)
