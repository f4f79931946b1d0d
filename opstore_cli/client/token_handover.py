"""Tokens for worker processes: a pickled client names a file that only its own user can read, and holds no token.

The file is in OPSTORE_HOME/handed and lasts as long as the process that pickled. It is locked by that process for so
long, so that others know which files were left behind by one that was killed.
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
from opstore_cli.files.nofollow import NONBLOCK
from opstore_daemon.protocol import errors

FOLDER = "handed"
STALE = 24 * 3600.0  # seconds; where there are no locks, nothing else says that its process has gone

# Behind the end of the processes that this one waits for at its own end: they may not have read it yet.
EXIT_PRIORITY = -1000


@dataclass(frozen=True, slots=True)
class _Held:
    path: Path
    descriptor: int | None  # open, and locked, while the file is ours


# By process: a forked one has its parent's, and another thread may have held the lock as it forked.
_held: dict[int, dict[tuple[Path, str], _Held]] = {}
_locks: dict[int, threading.Lock] = {}


def write_token_file(home: Path, token: str) -> Path:
    """A file with the token for whoever unpickles, the same one for all pickles of this process.

    Raises InvalidSetting where the home takes no file.
    """
    with _locks.setdefault(os.getpid(), threading.Lock()):
        if os.getpid() not in _held:
            _held[os.getpid()] = {}
            _let_go_at_the_end()
        mine = _held[os.getpid()]
        known = mine.get((home, token))
        if known is None or not known.path.exists():
            try:
                known = mine[home, token] = _write(home / FOLDER, token)
            except OSError as error:
                reason = errors.reason(error)
                raise errors.InvalidSetting(setting=f"OPSTORE_HOME ({home})", reason=reason) from None
        return known.path


def read_token_file(path: Path) -> str:
    """The token that was handed over in the file; raises TokenUnavailable."""
    try:
        text = private.read(path, tokens.MAX_FILE).decode("ascii").strip()
        return tokens.check_token(text, str(path))
    except OSError as error:
        raise errors.TokenUnavailable(path=str(path), reason=errors.reason(error)) from None
    except (ValueError, errors.InvalidSetting):
        raise errors.TokenUnavailable(path=str(path), reason="it holds no token") from None


def orphaned_files(home: Path) -> Iterator[Path]:
    """The files of processes that have gone without taking them away."""
    with suppress(OSError):
        for path in sorted((home / FOLDER).iterdir()):
            with suppress(OSError):
                if _is_orphaned(path):
                    yield path


def _is_orphaned(path: Path) -> bool:
    found = path.lstat()
    is_old = time.time() - found.st_mtime > STALE
    if path.name.startswith("."):
        return is_old  # else it is not locked yet
    descriptor = private.open_private(path, os.O_RDWR | NONBLOCK)
    try:
        state = try_lock(descriptor)
    finally:
        os.close(descriptor)
    return state == "acquired" or (state == "unsupported" and is_old)


def _write(folder: Path, token: str) -> _Held:
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
    return _Held(path, descriptor if locked else None)


def _let_go_at_the_end() -> None:
    # Not atexit: what is registered there last runs first, before the worker processes are waited for, and a worker
    # process does not run it at all.
    from multiprocessing.util import Finalize

    Finalize(None, _let_go, exitpriority=EXIT_PRIORITY)


def _let_go() -> None:
    for held in _held.pop(os.getpid(), {}).values():
        with suppress(OSError):
            if held.descriptor is not None:
                os.close(held.descriptor)
            held.path.unlink()
