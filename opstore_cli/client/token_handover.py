"""Token files for pickled clients: a pickle names a file that only its user can read, and contains no token.

The file is in OPSTORE_HOME/handed. The process that pickles keeps it locked, and deletes it at exit: a file without a
lock is an orphan of a process that was killed.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opstore_cli.config import tokens
from opstore_cli.files import private
from opstore_cli.files.locks import try_lock
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.home_trust import check_home
from opstore_daemon.system.files import open_regular

FOLDER = "handed"
STALE = 24 * 3600.0  # seconds; without file locks, only its age shows that a file is an orphan

# Finalizer priority: after multiprocessing has joined its workers, which may not have read the token yet.
EXIT_PRIORITY = -1000


@dataclass(frozen=True, slots=True)
class _TokenFile:
    path: Path
    descriptor: int | None  # open and locked until this process exits; None without file locks


# By process id: a forked process inherits both, and another thread may have held the lock at that moment.
_files: dict[int, dict[tuple[Path, str], _TokenFile]] = {}
_locks: dict[int, threading.Lock] = {}


def write_token_file(home: Path, token: str) -> Path:
    """Write the token to a file, one for all pickles of this process, and return its path.

    Raises InvalidSetting if no file can be written in the home, and UntrustedHome.
    """
    check_home(home)
    with _locks.setdefault(os.getpid(), threading.Lock()):
        if os.getpid() not in _files:
            _files[os.getpid()] = {}
            _delete_at_exit()
        mine = _files[os.getpid()]
        known = mine.get((home, token))
        if known is None or not known.path.exists():
            with errors.translated_writes(str(home), to=errors.InvalidSetting, setting=f"OPSTORE_HOME ({home})"):
                known = mine[home, token] = _write(home / FOLDER, token)
        return known.path


def read_token_file(path: Path) -> str:
    """Return the token in the file. Raises TokenUnavailable."""
    try:
        text = private.read(path, tokens.MAX_FILE).decode("ascii").strip()
        return tokens.check_token(text, str(path))
    except OSError as error:
        raise errors.TokenUnavailable(path=str(path), reason=errors.reason(error)) from None
    except (ValueError, errors.InvalidSetting):
        raise errors.TokenUnavailable(path=str(path), reason="it does not contain a token") from None


def orphaned_files(home: Path) -> Iterator[Path]:
    """Yield the files of processes that ended without deleting them."""
    with suppress(OSError):
        for path in private.files_in(home / FOLDER):
            with suppress(OSError):
                if _is_orphaned(path):
                    yield path


def _is_orphaned(path: Path) -> bool:
    found = path.lstat()
    is_old = time.time() - found.st_mtime > STALE
    if path.name.startswith("."):
        return is_old  # a new one is not locked yet
    descriptor = open_regular(path, os.O_RDWR)
    try:
        state = try_lock(descriptor)
    finally:
        os.close(descriptor)
    return state == "acquired" or (state == "unsupported" and is_old)


def _write(folder: Path, token: str) -> _TokenFile:
    private.make_folder(folder)
    for path in orphaned_files(folder.parent):
        with suppress(OSError):
            path.unlink()
    name = secrets.token_hex(16)
    fresh, path = folder / f".{name}", folder / name
    descriptor = private.create(fresh)
    try:
        os.write(descriptor, token.encode() + b"\n")
        locked = try_lock(descriptor) == "acquired"
    except OSError:
        os.close(descriptor)
        fresh.unlink()
        raise
    if not locked:
        os.close(descriptor)
    fresh.rename(path)
    return _TokenFile(path, descriptor if locked else None)


def _delete_at_exit() -> None:
    # Not atexit: its functions run before multiprocessing joins its workers, and not at all in a worker process.
    from multiprocessing.util import Finalize

    Finalize(None, _delete_files, exitpriority=EXIT_PRIORITY)


def _delete_files() -> None:
    for file in _files.pop(os.getpid(), {}).values():
        with suppress(OSError):
            if file.descriptor is not None:
                os.close(file.descriptor)
            file.path.unlink()
