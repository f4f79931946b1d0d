"""The script that a command runs: its digest tells whether two runs of the same command ran the same code."""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system.files import NONBLOCK
from opstore_daemon.system.stray_bytes import escape_stray_bytes

MAX_SIZE = 64 * 1024 * 1024  # bytes of what is taken for a script without being named as one

# Programs that run the script which is one of their arguments.
_INTERPRETERS = re.compile(
    r"(python|pypy|ipython|bash|dash|ksh|zsh|fish|sh|perl|ruby|node|lua|julia|java|Rscript|R)[\d.]*(\.exe)?"
)
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # in a folder whose programs belong to Python


@dataclass(frozen=True, slots=True)
class Script:
    """A file that a command runs: its path, as the command names it, and the SHA-256 of its bytes.

    `path` and `file`, the absolute path, are None for the source of a function that is in no file.
    """

    digest: Digest
    path: str | None = None
    file: str | None = None

    def has_changed(self) -> bool:
        """Return whether the file has other bytes now, or can't be read any more."""
        return self.file is not None and _digest(self.file) != self.digest


def script_of(words: Sequence[str]) -> Script | None:
    """Return the script of a command: the first word that is the path of a file, and not just a program that runs it.

    None if no word is, as in `sh -c '...'`.
    """
    for number, word in enumerate(words):
        if word.startswith("-") or (number == 0 and _is_interpreter(word)):
            continue
        digest = _digest(word, MAX_SIZE)
        if digest is not None:
            return Script(digest, escape_stray_bytes(word), os.path.abspath(word))
    return None


def named_script(path: Path | str) -> Script:
    """Return the script at a path that the user gave. Raises FileRefused."""
    digest = _digest(path)
    if digest is None:
        reason = "it is not a file that can be read" if os.path.lexists(path) else "there is no such file"
        raise errors.FileRefused(path=str(path), reason=reason)
    return Script(digest, escape_stray_bytes(os.fspath(path)), os.path.abspath(path))


def script_of_text(source: str) -> Script:
    """Return the script for source code that is in no file."""
    return Script(Digest.parse(f"sha256:{hashlib.sha256(source.encode(errors='replace')).hexdigest()}"))


def _is_interpreter(program: str) -> bool:
    """Return whether the first word of a command is not the script itself, but a program that runs one."""
    folder, name = os.path.split(program)
    if not folder:
        return True  # looked up on PATH
    if _INTERPRETERS.fullmatch(name) or any(os.path.exists(os.path.join(folder, "..", each)) for each in _ENVIRONMENTS):
        return True
    installed = shutil.which(name)
    return installed is not None and os.path.exists(program) and os.path.samefile(installed, program)


def _digest(path: Path | str, limit: int | None = None) -> Digest | None:
    """Return the digest of a regular file; None if it is none, can't be read or has more bytes."""
    try:
        # O_NONBLOCK: opening a named pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | NONBLOCK | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        return None
    digest = hashlib.sha256()
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or (limit is not None and found.st_size > limit):
            return None
        while data := os.read(descriptor, READ_SIZE):
            digest.update(data)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return Digest.parse(f"sha256:{digest.hexdigest()}")
