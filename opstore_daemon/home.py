"""The daemon's home: its lock, its token, and the files that tell clients where the daemon listens."""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from opstore_daemon.config import Config
from opstore_daemon.protocol import errors, restore_marker, runtime_file
from opstore_daemon.protocol._version import __version__
from opstore_daemon.system import files, full_disk, namespaces

LOCK_TIMEOUT = 1.0  # seconds that another daemon may take to end
SHARED_TIMEOUT = 30.0  # seconds that clients may take to look for the daemon, on a busy machine
MAX_SMALL_FILE = 64 * 1024  # bytes
MIN_TOKEN = 16  # characters


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
        if error.errno in (errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE):
            raise errors.OutputFailed(path=str(path), reason=errors.reason(error)) from error
        reason = f"{path} can't be used: {errors.reason(error)}"
        raise errors.InvalidSetting(setting="OPSTORE_HOME", reason=reason) from error


@dataclass(frozen=True, slots=True)
class HomeLock:
    """The lock of a home, which this process holds. `path` is that of its file, open as `descriptor`."""

    path: Path
    descriptor: int

    def is_at_path(self) -> bool:
        """Return whether the path still names the locked file. If not, another daemon may use the home."""
        return files.is_at_path(self.path, self.descriptor)


@contextmanager
def locked(config: Config, *, restores: bool = False) -> Iterator[HomeLock]:
    """Hold the lock of the home; raises HomeLocked with the URL and pid of the daemon that holds it.

    Unless the caller `restores` the home, raises RestoreUnfinished if a restore runs or was interrupted.
    """
    with home_errors(config.home):
        config.home.mkdir(parents=True, exist_ok=True)
        descriptor = files.open_regular(config.lock_file, os.O_RDWR | os.O_CREAT)
    try:
        with home_errors(config.lock_file):
            is_free = _acquire(descriptor)
        if not restores:
            restore_marker.check(config.home)
        if not is_free:
            raise errors.HomeLocked(home=str(config.home), **describe_daemon(config))
        yield HomeLock(config.lock_file, descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int) -> bool:
    """Acquire the lock; return False if another daemon holds it. Raises OSError if the file system has no locks."""
    started_at = time.monotonic()
    while not _try(descriptor, fcntl.LOCK_EX):
        # A client that looks for a running daemon holds a shared lock for an instant.
        timeout = SHARED_TIMEOUT if _try(descriptor, fcntl.LOCK_SH) else LOCK_TIMEOUT
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        if time.monotonic() - started_at > timeout:
            return False
        time.sleep(0.02)
    return True


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def describe_daemon(config: Config) -> dict[str, object]:
    """Return `url` and `pid` of the running daemon, or placeholder texts if it has not written them yet."""
    found = runtime_file.read(config.home)
    if found is None:
        return {"url": "an unknown URL (it is still starting)", "pid": "unknown"}
    return {"url": found.url, "pid": found.pid}


def write_runtime_file(
    config: Config, lock: HomeLock, url: str, port: int, instance: str, token_file: Path | None = None
) -> None:
    """Publish where this process listens, for clients that look for the home's daemon.

    `token_file`: the file with its token, if that is not the one in the home.
    """
    record = runtime_file.RuntimeFile(
        url=url,
        port=port,
        pid=os.getpid(),
        version=__version__,
        started_at=datetime.now(UTC).isoformat(),
        lock=os.fstat(lock.descriptor).st_ino,
        instance=instance,
        host=namespaces.host_name(),
        pid_namespace=namespaces.pid_namespace(),
        token_file="" if token_file is None else str(token_file.absolute()),
    )
    with home_errors(config.home):
        files.write_atomically(config.runtime_file, msgspec.json.encode(record) + b"\n", durable=False)


def is_published(config: Config, lock: HomeLock, instance: str) -> bool:
    """Return whether clients can find this process: lock file and runtime file are in place, and the latter is its own.

    A failure to read the runtime file that says nothing about it, such as too many open files, counts as in place.
    """
    if not lock.is_at_path():
        return False
    try:
        found = runtime_file.parse(files.read_regular(config.runtime_file, runtime_file.MAX_SIZE))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
    return found is not None and found.instance == instance


def delete_runtime_file(config: Config, lock: HomeLock) -> None:
    """Delete the runtime file of this process, unless the home has another lock file: then it is another daemon's."""
    with suppress(OSError):
        if lock.is_at_path():
            config.runtime_file.unlink()


def read_last_port(config: Config) -> int:
    """Return the port that this home's daemon had last; 0 if it is unknown."""
    try:
        return int(files.read_regular(config.port_file, MAX_SMALL_FILE))
    except (OSError, ValueError):
        return 0


def write_last_port(config: Config, port: int) -> None:
    """Store the port for `read_last_port`."""
    files.write_atomically(config.port_file, f"{port}\n".encode(), durable=False)


def read_given_token(path: Path) -> str:
    """Return the token in the file of OPSTORE_TOKEN_FILE, as a secret that is mounted; raise InvalidSetting.

    Links are followed, since Kubernetes mounts secrets as links, and its mode is that of the mount. It is never
    created: each daemon of a store would have another token.
    """
    setting = f"OPSTORE_TOKEN_FILE ({path})"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe that nobody writes to
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise errors.InvalidSetting(setting=setting, reason="it is not a regular file")
            token = _decoded(file.read(MAX_SMALL_FILE))
    except OSError as error:
        raise errors.InvalidSetting(setting=setting, reason=errors.reason(error)) from error
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        reason = f"it does not contain a token: one word of {MIN_TOKEN} or more printable ASCII characters"
        raise errors.InvalidSetting(setting=setting, reason=reason)
    return token


def load_token(path: Path) -> str:
    """Return the home's token; create it at the first start. Restricts an existing file to its owner.

    Raises InvalidSetting for a file without a token, and what `home_errors` raises.
    """
    with home_errors(path.parent):
        return _load_token(path)


def _load_token(path: Path) -> str:
    try:
        descriptor = files.open_regular(path, os.O_RDONLY, changes=True)
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        files.write_atomically(path, token.encode() + b"\n")
        return token
    with os.fdopen(descriptor, "rb") as file:
        os.fchmod(file.fileno(), 0o600)
        token = _decoded(file.read(MAX_SMALL_FILE))
    if len(token) < MIN_TOKEN:
        raise errors.InvalidSetting(
            setting=str(path), reason="it contains no valid token; delete the file to get a new one"
        )
    return token


def _decoded(data: bytes) -> str:
    # An editor may have added a byte order mark.
    return data.removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace").strip()
