"""The daemon's home: one process at a time uses it, and its token and runtime file are never seen half-written."""

import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from opstore_daemon.config import Config
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.system import full_disk

LOCK_TIMEOUT = 1.0  # seconds


@contextmanager
def home_errors(home: Path) -> Iterator[None]:
    """Raise InvalidSetting in place of an OSError about the home or a file in it; a storage error if its disk fails."""
    try:
        yield
    except OSError as error:
        path = error.filename or home
        if full_disk.is_full(error):
            words = full_disk.reason(error, home)
            raise errors.StorageFull(reason=f"{path} can't be written: {words}") from error
        if error.errno in (errno.EIO, errno.EROFS):
            raise errors.OutputFailed(path=str(path), reason=errors.reason(error)) from error
        reason = f"{error.filename or home} can't be used: {errors.reason(error)}"
        raise errors.InvalidSetting(setting="OPSTORE_HOME", reason=reason) from error


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Hold the lock of the home; raises HomeLocked with the URL and pid of the daemon that holds it."""
    with home_errors(config.home):
        config.home.mkdir(parents=True, exist_ok=True)
        lock = os.open(config.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not _acquire(lock):
            raise errors.HomeLocked(home=str(config.home), **read_runtime_file(config))
        yield
    finally:
        os.close(lock)


def _acquire(lock: int) -> bool:
    # A client that looks for a running daemon holds a shared lock for an instant.
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def read_runtime_file(config: Config) -> dict[str, object]:
    """Return `url` and `pid` of the running daemon, or placeholder texts if it has not written them yet."""
    try:
        found = json.loads(config.runtime_file.read_text())
        return {"url": found["url"], "pid": found["pid"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"url": "an unknown URL (it is still starting)", "pid": "unknown"}


def write_runtime_file(config: Config, url: str, port: int) -> None:
    """Publish where this process listens, for clients that look for the home's daemon."""
    record = {
        "url": url,
        "port": port,
        "pid": os.getpid(),
        "version": __version__,
        "started_at": datetime.now(UTC).isoformat(),
    }
    with home_errors(config.home):
        _write_atomically(config.runtime_file, json.dumps(record) + "\n")


def load_token(path: Path) -> str:
    """Return the home's token; create it at the first start. Restricts an existing file to its owner.

    Raises InvalidSetting for a symbolic link or a file without a token, and what `home_errors` raises.
    """
    with home_errors(path.parent):
        return _load_token(path)


def _load_token(path: Path) -> str:
    if path.is_symlink():
        raise errors.InvalidSetting(setting=str(path), reason="it is a symbolic link")
    if not path.exists():
        token = secrets.token_urlsafe(32)
        _write_atomically(path, token + "\n", durable=True)
        return token
    path.chmod(0o600)
    # An editor may have added a byte order mark.
    token = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace").strip()
    if len(token) < 16:
        raise errors.InvalidSetting(
            setting=str(path), reason="it contains no valid token; delete the file to get a new one"
        )
    return token


def _write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Write the text to the file atomically, readable by its owner only; `durable`: flush it to the disk first."""
    # A fixed name for the new file is safe: only the process that holds the lock writes here.
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
