"""Connections to the database: one writer behind one lock, a pool of readers, and the translation of errors.

SQLite polls for its write lock, at ten times the latency of a queue, so writers queue here. The writer's connection is
also the only one that does checkpoints: SQLite before 3.51.3 can corrupt a WAL database when one
connection's checkpoint races another's commit (sqlite.org/wal.html, "The WAL-reset bug"), and many systems ship
such a version.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, Pool, QueuePool

from opstore_daemon.metadata.base import BaseDatabase
from opstore_daemon.metadata.sqlite import failures
from opstore_daemon.metadata.sqlite.database_file import DatabaseFile
from opstore_daemon.metadata.sqlite.database_match import position_of
from opstore_daemon.metadata.sqlite.reserve import Reserve
from opstore_daemon.metadata.url import invalid, parse
from opstore_daemon.protocol import errors

BUSY_MS = 10_000
READERS = 16
WAIT = 30.0  # seconds for a connection


class Connections(BaseDatabase):
    """Transactions on an SQLite database, in a file or in memory (metadata.base)."""

    def __init__(self, url: str) -> None:
        """`url` is an SQLAlchemy URL; raise InvalidSetting unless it is sqlite:///PATH."""
        BaseDatabase.__init__(self)
        self.url = _parse(url)
        self.path = _path(self.url)
        self.is_in_memory = self.path is None
        self.name = str(self.path or "sqlite:///:memory:")
        self.reserve = Reserve(self.path)
        self.file = None if self.path is None else DatabaseFile(self.path)
        self._lock = threading.Lock()
        # A pool of one, not a StaticPool: code that uses the engine without our lock still waits for its connection,
        # instead of joining another thread's transaction.
        self.engine = self._engine("BEGIN IMMEDIATE", pool_size=1, max_overflow=0, pool_timeout=WAIT)
        _set_pragmas(self.engine, writer=True, file=self.file)
        self._readers: Engine | None = None
        if self.file is not None:
            self._readers = self._engine("BEGIN", pool_size=READERS, max_overflow=READERS, pool_timeout=WAIT)
            _set_pragmas(self._readers, writer=False, file=self.file)
        else:
            self._copies = self._engine("BEGIN", poolclass=NullPool)

    def _engine(self, begin: str, poolclass: type[Pool] = QueuePool, **options: Any) -> Engine:
        connect_args = {"check_same_thread": False, "isolation_level": None}
        engine = create_engine(self.url, poolclass=poolclass, connect_args=connect_args, **options)
        # Not an event: with one, SQLAlchemy looks for listeners at each statement.
        engine.dialect.do_begin = lambda dbapi_connection: _run(dbapi_connection, begin)  # type: ignore[method-assign]
        return engine

    @contextmanager
    def _write(self, *, ordered: bool) -> Iterator[Connection]:
        # All transactions are ordered: SQLite has one writer.
        with self._lock, _translated(errors.DatabaseFailed, self.path), self.engine.connect() as connection:
            if self.file is not None:
                self.file.verify()
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            try:
                with _translated(errors.OutcomeUnknown, self.path):
                    transaction.commit()
            except BaseException:
                _roll_back(connection)
                raise
            if self.file is not None:
                try:
                    self.file.committed()
                except errors.DatabaseFailed as error:  # it has happened, and a repetition with the same key finds it
                    raise errors.OutcomeUnknown(**error.details) from error

    def write_schema(self) -> AbstractContextManager[Connection]:
        """Begin a writing transaction: SQLite has one writer."""
        return self.write()

    def schema_changed(self) -> None:
        """Copy the commits into the database file, so that a database that loses its WAL is not taken for a new one."""
        self.checkpoint()
        self.reopen_readers()

    def regain_space(self) -> None:
        """Refill the reserve if it was given up and the disk has room again, and empty the log that grew meanwhile."""
        if self.reserve.is_missing():
            if self._lock.acquire(blocking=False):  # never waits: the server's loop calls it
                try:
                    self._empty_log()
                finally:
                    self._lock.release()
            self.reserve.refill()

    def _empty_log(self) -> None:
        with suppress(DBAPIError, PoolTimeout), closing(self.engine.raw_connection()) as pooled:
            connection: Any = pooled.dbapi_connection
            try:
                _run(connection, "PRAGMA busy_timeout = 0")  # if somebody reads, the next commits do it
                self._run_checkpoint(connection, "TRUNCATE")
                _run(connection, f"PRAGMA busy_timeout = {BUSY_MS}")
            except sqlite3.Error:
                pooled.invalidate()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        if self._readers is None:
            with self._lock, _translated(errors.DatabaseFailed, self.path), self.engine.connect() as connection:
                connection.begin()
                yield connection
                connection.rollback()
            return
        with _translated(errors.DatabaseFailed, self.path), self._readers.connect() as connection:
            connection.begin()
            yield connection

    @contextmanager
    def read_for_long(self) -> Iterator[Connection]:
        """Begin a reading transaction that keeps nobody waiting, however long it takes; raise DatabaseFailed.

        A database in memory has one connection for everybody, so this reads a copy of it.
        """
        if self._readers is not None:
            with self._read() as connection:
                yield connection
            return
        with _translated(errors.DatabaseFailed, self.path), self._copies.connect() as copy:
            with self._lock, self.engine.connect() as original:
                _driver(original).backup(_driver(copy))
            copy.begin()
            yield copy

    @contextmanager
    def _read_between_writes(self) -> Iterator[Connection]:
        with nullcontext() if self._readers is None else self._lock, self._read() as connection:
            yield connection

    def interrupt(self, connection: Connection) -> None:
        """End the statement that another thread executes on the connection, if any."""
        _driver(connection).interrupt()

    def reopen_readers(self) -> None:
        """Replace the readers' connections: one that saw no schema has not opened the WAL, and might open another."""
        if self._readers is not None:
            self._readers.dispose()

    def checkpoint(self) -> None:
        """Copy commits from the WAL into the database file, as far as this needs no waiting for other programs.

        A failure leaves them in the WAL, where they are as safe: so the database opens on a full disk, too.
        """
        if self.file is not None:
            failures_of_it = suppress(sqlite3.Error, DBAPIError, PoolTimeout)
            with self._lock, failures_of_it, closing(self.engine.raw_connection()) as pooled:
                self._run_checkpoint(pooled.dbapi_connection, "PASSIVE")

    def _run_checkpoint(self, connection: Any, mode: str) -> None:
        position = position_of(connection)
        _, frames, copied = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        if self.file is not None:
            complete = frames == copied and frames >= 0  # -1: another program does one
            self.file.checkpointed(position if complete else None)

    def close(self) -> None:
        """Close all connections, the writer last: the last one to close does a checkpoint. Release the database."""
        if self._readers is not None:
            self._readers.dispose()
        if self.file is not None and self.engine.pool.checkedin():  # type: ignore[attr-defined]
            with suppress(errors.DatabaseReplaced, errors.DatabaseFailed):
                self.file.verify()
                self.checkpoint()  # before the connection is closed: SQLite deletes the WAL then
        with self._lock:
            self.engine.dispose()
        if self.file is not None:
            self.file.release()


def path_of(url: str) -> Path | None:
    """Return the file of the database at an SQLAlchemy URL; None if it is in memory. Raises InvalidSetting."""
    return _path(_parse(url))


def _path(url: URL) -> Path | None:
    name = url.database
    return None if not name or name == ":memory:" else Path(name)


def _parse(url: str) -> URL:
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        raise invalid(f"{parsed.get_backend_name()} is not supported: use sqlite:///PATH")
    if parsed.query or parsed.host or parsed.username:
        raise invalid(f"{str(parsed)!r} is not sqlite:///PATH: options and hosts are not supported")
    if parsed.database and parsed.database != ":memory:":
        # One name for one file: the WAL and the lock lie beside the file itself, whatever links and folders lead to it.
        parsed = parsed.set(database=os.path.realpath(parsed.database))
    return parsed.set(drivername="sqlite+pysqlite")


def _set_pragmas(engine: Engine, *, writer: bool, file: DatabaseFile | None) -> None:
    pragmas = [f"busy_timeout = {BUSY_MS}", "foreign_keys = ON", "trusted_schema = OFF", "synchronous = FULL"]
    if file is not None:
        # By default, SQLite creates a file for the rollback data of each statement that splits many pages.
        writers = ["journal_mode = WAL", "temp_store = MEMORY"]
        # The last one reads the database, which opens its WAL: before its identity is compared.
        pragmas += writers if writer else ["wal_autocheckpoint = 0", "query_only = ON", "schema_version"]

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        for pragma in pragmas:
            _run(connection, f"PRAGMA {pragma}")
        if file is not None:
            try:
                file.opened()
            except errors.DatabaseReplaced:
                connection.close()
                raise

    if file is not None:

        @event.listens_for(engine, "close")
        def _close(_connection: Any, _record: Any) -> None:
            file.closed()


def _driver(connection: Connection) -> sqlite3.Connection:
    """Return the connection of the driver."""
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


def _run(connection: Any, statement: str) -> None:
    """Execute a statement on a connection of the driver."""
    connection.execute(statement).close()


def _roll_back(connection: Connection) -> None:
    """Roll back what a failed commit left open: SQLAlchemy considers it ended, and the next one could not begin."""
    try:
        connection.connection.rollback()
    except sqlite3.Error:
        connection.invalidate()


@contextmanager
def _translated(otherwise: type[errors.OpStoreError], database: Path | None) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        # The store checks the rules under the lock before it inserts: a constraint that fires anyway is a bug, or
        # another program wrote to the database.
        raise errors.DatabaseFailed(reason=f"a constraint was violated: {error.orig}") from error
    except DBAPIError as error:
        raise failures.to_opstore_error(error.orig or error, database, otherwise) from error
    except PoolTimeout as error:
        raise errors.DatabaseFailed(reason=f"no connection became available within {WAIT:g} seconds") from error
