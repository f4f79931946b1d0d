"""The daemon's process: started for one home, found by its runtime file, stopped over HTTP or by a signal."""

import gc
import importlib
import json
import logging
import os
import secrets
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from opstore_daemon.config import Config
from opstore_daemon.home import (
    HomeLock,
    delete_runtime_file,
    home_errors,
    is_published,
    load_token,
    locked,
    read_given_token,
    read_last_port,
    write_last_port,
    write_runtime_file,
)
from opstore_daemon.http_server.listener import GRACE, Listener
from opstore_daemon.http_server.shares import FILES
from opstore_daemon.log import LimitedHandler, one_line
from opstore_daemon.metadata import Database, Migrate, unfinished
from opstore_daemon.protocol import errors, proof, restore_marker
from opstore_daemon.protocol._version import __version__
from opstore_daemon.server import OpStoreServer
from opstore_daemon.store.maintenance.daily import DailyCollection
from opstore_daemon.store.maintenance.schedule import CollectionSchedule
from opstore_daemon.store.opening import upgrade_alone
from opstore_daemon.system import log_failures
from opstore_daemon.system.descriptors import raise_open_files
from opstore_daemon.system.log_file import LogFile
from opstore_daemon.web.guards import is_host

log = logging.getLogger("opstore.daemon")

LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 3
REGAIN_INTERVAL = 30.0  # seconds between attempts to refill the reserve of disk space
CLOSING = 8.0  # seconds that an object store has after GRACE: with 5 s of OPSTORE_DRAIN less than the 45 s in deploy/

# Modules that the API would otherwise import with the first request that needs them: by then, an upgrade may have
# replaced the program. The page stays lazy: its library takes long to import, and few daemons show the page.
PRELOADED = ("encodings.idna", "encodings.unicode_escape", "xxhash")


def serve(
    config: Config,
    host: str,
    port: int,
    names: Sequence[str] = (),
    *,
    background: bool,
    behind_proxy: bool = False,
) -> None:
    """Serve until a request to stop or a signal arrives or, in the background, until none arrives for the idle timeout.

    `names` are host names that the daemon accepts in addition to those of loopback. `behind_proxy`: only a proxy with
    TLS can reach the host from other machines. Raises InvalidSetting, HomeLocked,
    ListenRefused, SchemaTooNew, and errors of the database and the saver.
    """
    for name in names:
        if not is_host(name):
            reason = f"{name!r} is not a host name such as models.example.com"
            raise errors.InvalidSetting(setting="--allow-host", reason=reason)
    config.check_direct()
    given = None if background else config.given_token  # a client starts a daemon with its own variables
    if given is not None:
        read_given_token(given)  # raises now, before anything is written
    os.umask(0o077)
    with home_errors(config.home):
        config.home.mkdir(parents=True, exist_ok=True)
        log_handler = _set_up_log(config.log_file, also_stderr=not background)
    with locked(config) as lock, closing(Database(config.db_url)) as database:
        with home_errors(config.home):
            config.runtime_file.unlink(missing_ok=True)  # of a daemon that was killed
        database.acquire(str(config.home))  # before its reserve is given up: it may be that of another home's daemon
        spend_on = database.spend_on
        token = spend_on(lambda: load_token(config.token_file) if given is None else read_given_token(given))
        raise_open_files(FILES)
        server = spend_on(lambda: OpStoreServer(config.saver(), database, token=token, hosts=names, home=config.home))
        with closing(server):
            if server.backup is not None:
                log.info("upgraded the database to schema %s; its backup is %s", server.migrate.head(), server.backup)
            listener = (
                Listener(server, host, port, behind_proxy=behind_proxy)
                if port or not background
                else _listen_on_last_port(config, server, host)
            )
            signal.signal(signal.SIGTERM, lambda _number, _frame: listener.stop(config.drain))
            signal.signal(signal.SIGINT, lambda _number, _frame: listener.stop())
            for name in PRELOADED:
                importlib.import_module(name)
            instance = secrets.token_hex(16)
            server.guards.add_proof(proof.secret_of(token, instance))
            spend_on(lambda: write_runtime_file(config, lock, listener.url, listener.port, instance, given))
            database.keep_reserve()
            log.info("opstore %s listens at %s, with %s", __version__, listener.url, _describe_data(config, server))
            _report_to_starter({"url": listener.url, "pid": os.getpid()})
            reduce_garbage_collection()
            daily = DailyCollection(server.store.collector, CollectionSchedule(database) if config.collects else None)
            try:
                listener.run(
                    config.idle_timeout if background else 0,
                    is_wanted=_housekeeping(
                        config, lock, instance, database, log_handler, lambda: daily.tick(listener.idle_for())
                    ),
                    before_closing=lambda: _withdraw(config, lock, server),
                )
            finally:
                daily.stop()
                delete_runtime_file(config, lock)
        log.info("stopped")


def _describe_data(config: Config, server: OpStoreServer) -> str:
    """Return in words where the data are; without passwords."""
    database, saver = server.store.database, server.store.saver
    if database.path == Path(os.path.realpath(config.database_file)) and config.saver_folder == config.home / "blobs":
        return f"its data in {config.home}"
    return f"its database in {database.name}, its bytes in {saver.place()} and its log in {config.home}"


def _withdraw(config: Config, lock: HomeLock, server: OpStoreServer) -> None:
    """Tell clients that the daemon stops, and have a collection that one of them started end soon."""
    # Before the port is closed: while the file exists, a client that can't connect knows that this daemon is not merely
    # stopping.
    delete_runtime_file(config, lock)
    if server.store.saver.needs_records:
        _end_after(GRACE + CLOSING)
    server.store.collector.stop()


def _end_after(seconds: float) -> None:
    """End the process then, if it still runs: a request to an object store that hangs may take many minutes."""

    def end() -> None:
        log.warning("stopped without waiting for the object store any longer; clients send again what it did not store")
        os._exit(0)  # like a kill, which loses nothing; an orderly end would wait for the threads

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _housekeeping(
    config: Config,
    lock: HomeLock,
    instance: str,
    database: Database,
    log_handler: LimitedHandler,
    collect: Callable[[], None],
) -> Callable[[], bool]:
    """Return a function for the loop to call now and then.

    It sums up suppressed lines of the log, refills the reserve of disk space, and calls `collect`. It returns whether
    clients can still find the daemon: its home was not removed, and its files there are in place. A daemon that nobody
    can find would run for ever, beside another one of the same home.
    """
    regained_at = time.monotonic()

    def is_wanted() -> bool:
        nonlocal regained_at
        log_handler.summarize()
        if time.monotonic() - regained_at > REGAIN_INTERVAL:
            regained_at = time.monotonic()
            database.regain_space()
        collect()
        if is_published(config, lock, instance):
            return True
        log.info("stopping: %s or %s was removed, replaced or damaged", config.runtime_file, config.lock_file)
        return False

    return is_wanted


def reduce_garbage_collection() -> None:
    """Leave what exists now out of all later collections, and collect less often.

    It lives as long as the process, and reference counting frees nearly everything that a request creates. Collections
    over all of it, every few requests, took a tenth of the time.
    """
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()  # __main__ disables it for the start


def _listen_on_last_port(config: Config, server: OpStoreServer, host: str) -> Listener:
    """Listen on the port that this home's daemon had last, so that bookmarks stay valid; else on any free port."""
    try:
        listener = Listener(server, host, read_last_port(config))
    except (OverflowError, errors.OpStoreError):
        listener = Listener(server, host, 0)
    with suppress(OSError):  # a full disk: the next daemon has another port
        write_last_port(config, listener.port)
    return listener


def _set_up_log(path: Path, *, also_stderr: bool) -> LimitedHandler:
    handlers: list[logging.Handler] = [LogFile(path, LOG_BYTES, LOG_FILES)]
    if also_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        log_failures.tolerate(handler)
    limited = LimitedHandler(*handlers)
    logging.basicConfig(level=logging.INFO, handlers=[limited], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return limited


def _report_to_starter(record: dict[str, object]) -> None:
    """Write the record as a line of JSON to the pipe that the parent process passed, if any, and close the pipe."""
    descriptor = os.environ.pop("OPSTORE_READY_FD", None)
    if descriptor is not None:
        with suppress(OSError, ValueError), os.fdopen(int(descriptor), "w") as pipe:  # the parent may have exited
            json.dump(record, pipe)
            pipe.write("\n")


def report(error: errors.OpStoreError) -> int:
    """Report why the daemon did not start to the log, the parent process and stderr; return the exit code."""
    if log.hasHandlers():  # or logging prints it to stderr, too
        log.error("%s", error.text)
    _report_to_starter({"error": error.text, "code": error.code, "hint": error.advice})
    hint = f"\nhint: {one_line(error.advice)}" if error.advice else ""
    with suppress(OSError):  # a file on a full disk
        sys.stderr.write(f"error: {one_line(error.text)}{hint}\n")
        sys.stderr.flush()
    return error.exit_code


def report_bug(failure: Exception) -> int:
    """Report a failure that nobody expected, with its traceback in the log; return the exit code."""
    reference = uuid.uuid4().hex[:12]
    log.error("internal error %s", reference, exc_info=failure)
    return report(errors.InternalError(reference=reference))


class CurrentSchema(msgspec.Struct, frozen=True):
    """The schema of the database, None if it has none, and the one that this release needs.

    `release` is the later release that made or upgraded a schema that is too new for this one; None if none is known.
    """

    schema: str | None
    needed: str
    release: str | None = None

    def __str__(self) -> str:
        of_release = f"; opstore {self.release} or later reads it" if self.release else ""
        return f"{self.schema or 'none'} (this opstore needs {self.needed}{of_release})"


class UpgradedSchema(msgspec.Struct, frozen=True):
    """The schema after an upgrade, the one before (None: none), and the path of the backup, if one was made."""

    schema: str
    before: str | None
    backup: str | None

    def __str__(self) -> str:
        if self.before == self.schema:
            return f"the schema is already {self.schema}"
        of_backup = f"; the backup is {self.backup}" if self.backup else ""
        return f"upgraded the schema from {self.before or 'none'} to {self.schema}{of_backup}"


def upgrade(config: Config) -> UpgradedSchema:
    """Upgrade the database to this release's schema.

    Raises HomeLocked or StoreInUse while a daemon runs, SchemaTooNew, and DatabaseLost rather than create a database
    beside the blobs of the home.
    """
    os.umask(0o077)
    with locked(config), closing(Database(config.db_url)) as database:
        spend_on, migrate = database.spend_on, Migrate(database)
        database.acquire(str(config.home))
        before = spend_on(lambda: _revision(database, migrate))
        # Where the blobs of a database outside of the home are, is unknown.
        saver = config.saver() if database.path == Path(os.path.realpath(config.database_file)) else None
        backup = spend_on(lambda: upgrade_alone(database, migrate, saver))
        return UpgradedSchema(migrate.head(), before, None if backup is None else str(backup))


def current(config: Config) -> CurrentSchema:
    """Return the database's schema and the one that this release needs.

    Raises RestoreUnfinished and MigrationUnfinished.
    """
    restore_marker.check(config.home)
    database = Database(config.db_url)
    with database.only_read():
        migrate = Migrate(database)
        schema = _revision(database, migrate)
        if not database.is_empty():
            with database.read() as connection:
                unfinished.check(connection)
        return CurrentSchema(schema, migrate.head(), migrate.release_needed(schema))


def _revision(database: Database, migrate: Migrate) -> str | None:
    # An empty file is not opened: SQLite would delete a WAL that lies beside it.
    return None if database.is_empty() else migrate.current()
