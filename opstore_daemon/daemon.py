"""The daemon's process: one for a home, found by its runtime file, stopped by a signal."""

import fcntl
import gc
import json
import logging
import logging.handlers
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from opstore_daemon.config import Config
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.server import OpStoreServer
from opstore_daemon.web.guards import is_host

log = logging.getLogger("opstore.daemon")

LOCK_WITHIN = 1.0  # seconds
LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 3


def serve(config: Config, host: str, port: int, names: Sequence[str] = (), *, background: bool) -> None:
    """Serves until a signal, or, in the background, until nobody has asked anything for the idle timeout.

    `names` are those that it answers to besides loopback's.
    """
    for name in names:
        if not is_host(name):
            reason = f"{name!r} is no name that a Host header has, such as models.example.com"
            raise errors.InvalidSetting(setting="--allow-host", reason=reason)
    os.umask(0o077)
    with _usable(config.home):
        config.home.mkdir(parents=True, exist_ok=True)
        _log_to(config.log_file, also_stderr=not background)
    with locked(config):
        with _usable(config.home):
            config.runtime_file.unlink(missing_ok=True)  # of a daemon that was killed
            token = _token(config.token_file)
        server = OpStoreServer(config.saver(), config.db_url, token=token, hosts=names, home=config.home)
        if server.backup is not None:
            log.info("upgraded the database to schema %s; its backup is %s", server.migrate.head(), server.backup)
        listener = Listener(server, host, port) if port or not background else _listen_again(config, server, host)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: _stop(listener))
        _write_runtime_file(config, listener)
        log.info("opstore %s listens at %s, with its data in %s", __version__, listener.url, config.home)
        _tell_ready({"url": listener.url, "pid": os.getpid()})
        _collect_less()
        try:
            # A daemon that nobody can find any more, since its home was removed, would stay for ever.
            listener.run(config.idle_timeout if background else 0, wanted=config.runtime_file.exists)
        finally:
            config.runtime_file.unlink(missing_ok=True)
            server.close()
            log.info("stopped")


def _collect_less() -> None:
    # What is here stays as long as we do, and what a request leaves goes by itself but for a little: to look for
    # garbage among all of it, every few requests, took a tenth of their time.
    gc.freeze()
    gc.set_threshold(20_000)


def _listen_again(config: Config, server: OpStoreServer, host: str) -> Listener:
    """Listens on the port that this home's daemon had last, so that bookmarks of its page stay good; else on any."""
    try:
        listener = Listener(server, host, int(config.port_file.read_text()))
    except (OSError, ValueError, OverflowError, errors.OpStoreError):
        listener = Listener(server, host, 0)
    config.port_file.write_text(f"{listener.port}\n")
    return listener


def _stop(listener: Listener, _frame: FrameType | None = None) -> None:
    listener.stop()


@contextmanager
def _usable(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or home} can't be used: {error.strerror}"
        raise errors.InvalidSetting(setting="OPSTORE_HOME", reason=reason) from error


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Holds the home for one process; raises HomeLocked with the address of the daemon that has it."""
    with _usable(config.home):
        config.home.mkdir(parents=True, exist_ok=True)
        lock = os.open(config.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not _locks(lock):
            raise errors.HomeLocked(home=str(config.home), **_read_runtime_file(config))
        yield
    finally:
        os.close(lock)


def _locks(lock: int) -> bool:
    # A client that looks whether a daemon is there holds a shared lock for an instant: that is no daemon.
    deadline = time.monotonic() + LOCK_WITHIN
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _read_runtime_file(config: Config) -> dict[str, object]:
    try:
        found = json.loads(config.runtime_file.read_text())
        return {"url": found["url"], "pid": found["pid"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"url": "an address that it has not told yet", "pid": "unknown"}


def _write_runtime_file(config: Config, listener: Listener) -> None:
    told = {
        "url": listener.url,
        "port": listener.port,
        "pid": os.getpid(),
        "version": __version__,
        "started_at": datetime.now(UTC).isoformat(),
    }
    fresh = config.runtime_file.with_suffix(".new")
    fresh.write_text(json.dumps(told) + "\n")
    fresh.replace(config.runtime_file)


def _token(path: Path) -> str:
    """The home's token, made at the first start. It is the owner's alone, also where somebody loosened it."""
    if path.is_symlink():
        raise errors.InvalidSetting(setting=str(path), reason="it is a link, which somebody else may have put there")
    if not path.exists():
        return _new_token(path)
    path.chmod(0o600)
    token = path.read_text().strip()
    if len(token) < 16:
        raise errors.InvalidSetting(setting=str(path), reason="it holds no token: delete it")
    return token


def _new_token(path: Path) -> str:
    # Written aside, so that a crash leaves no half of it; one daemon has the home, so nobody else writes it.
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    token = secrets.token_urlsafe(32)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return token


def _log_to(path: Path, *, also_stderr: bool) -> None:
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    ]
    if also_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=handlers, force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _tell_ready(told: dict[str, object]) -> None:
    """Tells whoever started us, over the pipe that it gave us, and closes it; it may be gone by now."""
    descriptor = os.environ.pop("OPSTORE_READY_FD", None)
    if descriptor is not None:
        with suppress(OSError, ValueError), os.fdopen(int(descriptor), "w") as pipe:
            json.dump(told, pipe)
            pipe.write("\n")


def report(error: errors.OpStoreError) -> int:
    """Says why there is no daemon, to whoever can hear it; returns the exit code."""
    log.error("%s", error.text)
    _tell_ready({"error": error.text})
    hint = f"\nhint: {error.advice}" if error.advice else ""
    sys.stderr.write(f"error: {error.text}{hint}\n")
    return error.exit_code


def upgrade(config: Config) -> str:
    """Brings the database up to this release's schema, while no daemon runs; says what was done."""
    os.umask(0o077)
    with locked(config):
        database = Database(config.db_url)
        migrate = Migrate(database)
        before, backup = migrate.current(), migrate.upgrade()
        database.close()
        if before == migrate.head():
            return f"the schema is {before} already"
        kept = f"; the backup is {backup}" if backup else ""
        return f"upgraded the schema from {before or 'none'} to {migrate.head()}{kept}"


def current(config: Config) -> str:
    """The database's schema, and the one that this release needs."""
    database = Database(config.db_url)
    if database.path is not None and not database.path.exists():
        return f"none (this opstore needs {Migrate(database).head()})"
    migrate = Migrate(database)
    found = migrate.current() or "none"
    database.close()
    return f"{found} (this opstore needs {migrate.head()})"
