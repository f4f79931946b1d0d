"""Transactions on PostgreSQL: a pool of connections, the order of commits, and the translation of errors.

An ordered transaction begins by locking the counter's row, in the same round trip as its BEGIN. So inside of it no
daemon writes what needs an order, as on SQLite: the rules are checked once, and nothing is ever repeated.

Idle connections are not tested before they are used, which would be a round trip for each transaction. Instead a
transaction that can't begin because its connection broke begins once more, on a new one: nothing has happened yet.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from opstore_daemon.metadata.base import BaseDatabase
from opstore_daemon.metadata.migrate import known_revisions, schema_too_new
from opstore_daemon.metadata.postgres import failures, transactions
from opstore_daemon.metadata.postgres.failures import WAIT
from opstore_daemon.metadata.postgres.settings import Settings
from opstore_daemon.metadata.url import invalid
from opstore_daemon.protocol import errors

WRITERS = 2  # ordered transactions of this daemon at the server: one works, the next one waits there without a gap
RECYCLED = 1800  # seconds after which a connection is replaced before its next use
INTERRUPTED = "opstore_interrupted"  # in the info of a connection


class Connections(BaseDatabase):
    """Transactions on a PostgreSQL database (metadata.base)."""

    def __init__(self, url: str) -> None:
        """`url` is postgresql+psycopg://… or postgresql://…; raise InvalidSetting, and LibraryMissing."""
        super().__init__()
        settings = Settings.parse(url)
        self.url, self.name = settings.url, settings.name
        self._next = threading.local()
        self._writers = threading.BoundedSemaphore(WRITERS)
        self._newest_schema = known_revisions()[-1]
        self._store: str | None = None  # the id of the store, and the position of its last commit that was seen here
        self._position = 0
        self._is_closed = False
        self.engine = self._engine(settings)
        event.listen(self.engine, "checkin", self._close_late)

    def _engine(self, settings: Settings) -> Engine:
        try:
            engine = create_engine(
                settings.url,
                connect_args=settings.connect,
                pool_size=settings.pool_size,
                max_overflow=0,
                pool_timeout=WAIT,
                pool_use_lifo=True,
                pool_recycle=RECYCLED,
                use_native_hstore=False,  # it would look for the type in each database
            )
        except ArgumentError:  # not its text, which quotes the URL
            raise invalid("each port is a number, and hosts and ports are as many") from None
        except ImportError as error:
            what = "a PostgreSQL database"
            raise errors.LibraryMissing(what=what, library="psycopg", extra="postgres", reason=str(error)) from error
        engine.dialect.do_begin = self._do_begin  # type: ignore[method-assign]
        return engine

    def _do_begin(self, dbapi_connection: Any) -> None:
        """Begin the transaction that `_begin` asked for in this thread, or a plain one; keep the row of its lock."""
        statement = getattr(self._next, "statement", None) or transactions.PLAIN
        self._next.statement = self._next.row = None
        with dbapi_connection.cursor() as cursor:
            # One message with several statements, which can't be prepared.
            cursor.execute(statement, prepare=False)
            while cursor.nextset():
                pass
            if cursor.description is not None:
                self._next.row = cursor.fetchone()

    @contextmanager
    def _begin(self, statement: str) -> Iterator[Connection]:
        """Connect and begin a transaction, once more if the connection was broken; roll it back unless it ended."""
        connection = self._connect(statement) or self._connect(statement, is_last=True)
        assert connection is not None  # noqa: S101 - the last attempt raises
        with connection:
            yield connection

    @contextmanager
    def _begin_reading(self, statement: str) -> Iterator[Connection]:
        """Connect and begin a transaction that only reads; commit it, unless a statement of it failed.

        A rollback would make psycopg forget the statements that it has prepared on the connection.
        """
        with self._begin(statement) as connection:
            try:
                yield connection
            finally:
                if not connection.invalidated and _state(connection) == "INTRANS":
                    with suppress(DBAPIError):  # the connection broke after everything was read
                        cast(Any, connection.get_transaction()).commit()

    def _connect(self, statement: str, *, is_last: bool = False) -> Connection | None:
        connection = self.engine.connect()
        try:
            self._next.statement = statement
            connection.begin()
        except BaseException as error:
            self._next.statement = None
            connection.close()
            if not is_last and isinstance(error, DBAPIError) and error.connection_invalidated:
                return None
            raise
        return connection

    # --- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self, *, ordered: bool) -> Iterator[Connection]:
        statement = transactions.ORDERED if ordered else transactions.UNORDERED
        queue = self._writers if ordered else nullcontext()
        with queue, _translated(errors.DatabaseFailed), self._begin(statement) as connection:
            if ordered:
                self._check_lock()
            yield connection
            self._commit(connection)

    @contextmanager
    def write_schema(self) -> Iterator[Connection]:
        """Begin a transaction that may change the schema; other daemons that want to wait until its end."""
        with _translated(errors.DatabaseFailed), self._begin(transactions.SCHEMA) as connection:
            if connection.exec_driver_sql("SELECT to_regclass('counter') IS NOT NULL").scalar_one():
                connection.exec_driver_sql(transactions.LOCK_COUNTER)
            yield connection
            self._commit(connection)

    def _check_lock(self) -> None:
        """Check the row of the counter's lock: that of the store which this process knows, and not an older one."""
        row = self._next.row
        if row is None:
            raise errors.DatabaseDamaged(database=self.name, reason="its counter has no row")
        position, oldest_schema, store_id, _ = row
        if oldest_schema > self._newest_schema:
            raise schema_too_new(oldest_schema, None)
        if self._store is not None and store_id != self._store:
            raise errors.DatabaseReplaced(reason=f"{self.name} is the database of the store {store_id} now")
        if position < self._position:
            reason = f"{self.name} is an older copy now: it ends at position {position}, and had reached"
            raise errors.DatabaseReplaced(reason=f"{reason} {self._position}")
        self._store, self._position = store_id, position

    def _commit(self, connection: Connection) -> None:
        driver = _driver(connection)
        if driver.closed:
            raise errors.DatabaseFailed(reason="the connection to PostgreSQL was lost before the commit")
        if _state(connection) == "INERROR":
            # PostgreSQL would take the COMMIT for a ROLLBACK, without an error.
            raise errors.DatabaseFailed(reason="a statement of the transaction failed, so nothing was committed")
        with _translated(errors.OutcomeUnknown):
            cast(Any, connection.get_transaction()).commit()

    # --- reading ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with _translated(errors.DatabaseFailed), self._begin_reading(transactions.READ) as connection:
            yield connection

    @contextmanager
    def _read_between_writes(self) -> Iterator[Connection]:
        begun = self._begin_reading(transactions.BETWEEN_WRITES)
        with self._writers, _translated(errors.DatabaseFailed), begun as connection:
            self._check_lock()
            yield connection

    @contextmanager
    def read_for_long(self) -> Iterator[Connection]:
        """Begin a reading transaction without a limit of time; `interrupt` ends its statement."""
        with _translated(errors.DatabaseFailed), self._begin_reading(transactions.READ_FOR_LONG) as connection:
            try:
                yield connection
            finally:
                if not connection.invalidated and connection.info.pop(INTERRUPTED, False):
                    connection.invalidate()  # the request may arrive late, and end a statement of somebody else

    def interrupt(self, connection: Connection) -> None:
        """Ask the server to end the statement that another thread executes on the connection, if any."""
        connection.info[INTERRUPTED] = True
        driver = _driver(connection)
        with suppress(Exception):  # the server is gone, and the statement with it
            driver.cancel_safe(timeout=5)

    def close(self) -> None:
        """Close all connections: those in use when their transactions end."""
        self._is_closed = True
        self.engine.dispose()

    def _close_late(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        """Close a connection that comes back after `close`: the pool would only forget it."""
        if self._is_closed:
            entry.close()


def _driver(connection: Connection) -> Any:
    """Return the connection of the driver."""
    return connection.connection.driver_connection


def _state(connection: Connection) -> str:
    """Return the state of the transaction as libpq names it: INTRANS in one, INERROR in one that failed, ..."""
    return str(_driver(connection).info.transaction_status.name)


@contextmanager
def _translated(otherwise: type[errors.OpStoreError]) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise failures.to_opstore_error(error, otherwise) from error
    except PoolTimeout as error:
        raise errors.DatabaseFailed(reason=f"no connection became available within {WAIT} seconds") from error
