"""Notes about large transfers, so that a later process goes on with them and `status` can say which are unfinished."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from opstore_cli.files.locks import LockedFile
from opstore_daemon.protocol import records

NOTED_FROM = 8 * 1024 * 1024  # bytes of a file from which on it is worth a note
NOTES = "transfers"  # the folder in OPSTORE_HOME
NOTE_LIVES = 14 * 24 * 3600.0  # seconds; the daemon forgets an upload before that
MAX_NOTE = 16 * 1024  # bytes

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer. `path` is that of the source or the target, in JSON's letters; `size` is of all its bytes.

    A push has its `upload`, a pull the `version` that it is of, as `NAME@VERSION`, and the `part` that holds its bytes.
    `daemon` is what stays the same of the daemon when it restarts.
    """

    way: Literal["push", "pull"]
    daemon: str
    path: str
    size: int
    upload: str = ""
    version: str = ""
    part: str = ""


class HeldNote:
    """The note about one transfer, held by one process at a time."""

    def __init__(self, file: LockedFile) -> None:
        self._file = file

    @classmethod
    @contextlib.contextmanager
    def take(cls, home: Path, *what: object) -> "Iterator[HeldNote | None]":
        """The note about a transfer of `what`; None where another process holds it or none can be kept here.

        A transfer works without it: whatever fails here only costs the going on.
        """
        name = hashlib.sha256("\0".join(map(str, what)).encode(errors="surrogateescape")).hexdigest()
        with contextlib.ExitStack() as stack:
            try:
                folder = _folder(home)
                file = stack.enter_context(LockedFile.take(folder / name))
            except OSError:
                file = None
            # Whoever held it may have removed it between our opening and our locking it.
            yield cls(file) if file is not None and file.is_still_there() else None

    def read(self) -> Note | None:
        """What an earlier process noted, if it did."""
        os.lseek(self._file.descriptor, 0, os.SEEK_SET)
        return _parsed(os.read(self._file.descriptor, MAX_NOTE))

    def write(self, note: Note) -> None:
        """Keeps it for a later process."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.descriptor, 0)
            os.lseek(self._file.descriptor, 0, os.SEEK_SET)
            os.write(self._file.descriptor, msgspec.json.encode(note))

    def remove(self) -> None:
        """Nothing is left to go on with."""
        with contextlib.suppress(OSError):
            self._file.path.unlink()


def noted(home: Path, daemon: str) -> list[tuple[Note, bool]]:
    """All notes about transfers from or to that daemon, and whether a process is at them."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted((home / NOTES).iterdir()):
            with contextlib.suppress(OSError), LockedFile.take(path, create=False, shared=True) as file:
                note = _parsed(path.read_bytes()[:MAX_NOTE])
                if note is not None and note.daemon == daemon:
                    found.append((note, file is None))
    return found


def spelled(path: str) -> str:
    """A path as a note can hold it: a stray byte of a name becomes an escape."""
    return os.path.abspath(path).encode("utf-8", "backslashreplace").decode()


def _parsed(text: bytes) -> Note | None:
    try:
        note = records.decoder(Note).decode(text)
    except msgspec.DecodeError:
        return None
    # It becomes a part of a path of the daemon's.
    return note if note.way == "pull" or _UPLOAD_ID.fullmatch(note.upload) else None


def _folder(home: Path) -> Path:
    folder = home / NOTES
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    long_ago = time.time() - NOTE_LIVES
    for old in folder.iterdir():
        with contextlib.suppress(OSError):
            if old.stat(follow_symlinks=False).st_mtime < long_ago:
                old.unlink()
    return folder
