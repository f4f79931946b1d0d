"""The contract of a database: what its transactions promise, whichever database it is.

SQLite (metadata.sqlite) and PostgreSQL (metadata.postgres) keep it. No other package knows which one it has: each rule
of the store is checked once, in a transaction during which nobody else writes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.engine import URL

from opstore_daemon.metadata.checks import Check
from opstore_daemon.metadata.tables import Base
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

T = TypeVar("T")


class BaseDatabase:
    """A database. Its transactions belong to the thread that began them."""

    url: URL
    """Where it is; as text, it has no password."""
    engine: Engine
    """The connections that write, for an operator's own queries."""
    name: str
    """Where it is, in words that messages use: without a password."""
    path: Path | None = None
    """Its file, free of symbolic links; None if it is in none."""
    is_in_memory = False
    """Whether it ends with this process."""
    is_shared = False
    """Whether other daemons may use it at the same time: what this process remembers of it may have changed."""
    advice: str
    """What to do if it is damaged."""

    def __init__(self) -> None:
        self._own = threading.local()

    # --- transactions -----------------------------------------------------------------------------------------------

    def write(self, *, ordered: bool = True) -> AbstractContextManager[Connection]:
        """Begin a writing transaction, which commits at the end of the context; an exception rolls it back.

        While it lasts, no other ordered transaction writes: a rule that it has checked still holds at its commit, and
        positions of the journal are in the order of commits. `ordered=False` is for changes that append no entry to the
        journal and need none of that; they may run beside others.

        Inside of a transaction of the same thread it joins that one, which commits everything or, if either fails,
        nothing: an exception that leaves the inner context also fails the outer one. An ordered transaction can't join
        one without order (RuntimeError).

        Raises StorageFull, DatabaseFailed, DatabaseReplaced, SchemaTooNew, or OutcomeUnknown: the commit may have
        happened.
        """
        outer = self._transaction()
        return self._begun(ordered) if outer is None else outer.joined(ordered=ordered)

    def read(self) -> AbstractContextManager[Connection]:
        """Begin a reading transaction, which sees one state of the database; raise DatabaseFailed.

        Inside of a writing transaction of the same thread it joins that one, and sees its changes.
        """
        outer = self._transaction()
        return self._read() if outer is None else outer.joined(ordered=False)

    def read_for_long(self) -> AbstractContextManager[Connection]:
        """Begin a reading transaction that keeps nobody waiting, however long it takes; raise DatabaseFailed."""
        raise NotImplementedError

    def read_between_writes(self) -> AbstractContextManager[Connection]:
        """Begin a reading transaction during which no ordered transaction writes.

        Unlike `write` it needs no space on a disk of this machine. Raises DatabaseFailed.
        """
        outer = self._transaction()
        return self._read_between_writes() if outer is None else outer.joined(ordered=True)

    def write_freeing(self, work: Callable[[Connection], T]) -> T:
        """Do the work, which frees space, in a writing transaction; on a full disk, give the reserve up for it.

        Call `regain_space` once the space is free. Raises what `write` raises.
        """

        def write() -> T:
            with self.write() as connection:
                return work(connection)

        return write() if self._transaction() is not None else self.spend_on(write)

    @contextmanager
    def session(self) -> "Iterator[Session]":
        """Open an SQLAlchemy session for an operator's own queries, inside one writing transaction.

        Commits everything at the end; `rollback` undoes the changes since the last `commit`.
        """
        from sqlalchemy.orm import Session  # here: nothing else needs the ORM, and its import takes long

        with self.write() as connection, Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
            session.commit()

    def interrupt(self, connection: Connection) -> None:
        """End the statement that another thread executes on the connection, if any: it raises DatabaseFailed there."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside of a writing transaction."""
        return self._transaction() is not None

    def _transaction(self) -> "_Transaction | None":
        return getattr(self._own, "transaction", None)

    @contextmanager
    def _begun(self, ordered: bool) -> Iterator[Connection]:
        with self._write(ordered=ordered) as connection:
            transaction = self._own.transaction = _Transaction(connection, ordered=ordered)
            try:
                yield connection
            finally:
                self._own.transaction = None
            if transaction.failure is not None:
                raise transaction.failure

    def _write(self, *, ordered: bool) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    def _read(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    def _read_between_writes(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    # --- what is wrong with it --------------------------------------------------------------------------------------

    def checks(self) -> Sequence[Check]:
        """Return the checks of the database itself, for `read_for_long`."""
        raise NotImplementedError

    def is_damage(self, error: errors.OpStoreError) -> bool:
        """Return whether an error that it raised reports content that can't be right."""
        raise NotImplementedError

    # --- its schema ---------------------------------------------------------------------------------------------------

    def tables(self) -> MetaData:
        """Return the tables of the current schema, as this database gets them."""
        return Base.metadata

    def is_empty(self) -> bool:
        """Return whether nothing was ever written to it, as far as that is known without opening it."""
        return False

    def create(self) -> None:
        """Create what holds the schema, unless there is one."""

    def write_schema(self) -> AbstractContextManager[Connection]:
        """Begin a writing transaction that may change the schema: no other daemon changes it meanwhile."""
        raise NotImplementedError

    def schema_changed(self) -> None:
        """Have all connections see a schema that was changed, and make it as durable as the database itself."""

    def analyze(self) -> None:
        """Have the database count and sample its rows now, after many were written, if it plans by that.

        Otherwise it does so by itself some time later, and statements are slow until then. Raises DatabaseFailed.
        """

    def checkpoint(self) -> None:
        """Move commits from a log beside the database into it, if there is one; a failure leaves them there."""

    def back_up(self, suffix: str) -> Path | None:
        """Copy the database beside itself before it is upgraded; return the copy, None if the operator makes them.

        Raises StorageFull and DatabaseFailed.
        """
        raise NotImplementedError

    # --- its place ----------------------------------------------------------------------------------------------------

    def acquire(self, home: str | None = None) -> None:
        """Become the one daemon of the database until `close`, if it can have one only; raise StoreInUse.

        `home` is recorded for those who find it in use.
        """

    def name_store(self, store_id: str) -> None:
        """Record whose commits it has, for a start that finds parts of another database."""

    def verify(self) -> None:
        """Raise DatabaseReplaced if a commit could not be acknowledged."""

    def size(self) -> int | None:
        """Return its bytes; None if they are not on a disk. Raises DatabaseFailed."""
        raise NotImplementedError

    def spend_on(self, work: Callable[[], T]) -> T:
        """Do work that frees space, or a step of the start; if the disk is full, give the reserve up and try again.

        Refill it afterwards (`regain_space`). Raises what the work raises.
        """
        return work()

    def keep_reserve(self) -> None:
        """Keep a reserve of disk space beside the database from now on, if it is on a disk of this machine."""

    def regain_space(self) -> None:
        """Refill the reserve if it was given up and the disk has room again. Never waits."""

    @contextmanager
    def only_read(self) -> Iterator[None]:
        """Close the database at the end of the context, and leave its files as they are."""
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Close all connections, and release the database."""
        raise NotImplementedError


class _Transaction:
    """The writing transaction of a thread: those that begin inside of it join it."""

    def __init__(self, connection: Connection, *, ordered: bool) -> None:
        self._connection, self._ordered = connection, ordered
        self.failure: BaseException | None = None

    @contextmanager
    def joined(self, *, ordered: bool) -> Iterator[Connection]:
        if ordered and not self._ordered:
            # It would take the lock of the counter after others: two such transactions would wait for each other.
            raise RuntimeError("an ordered transaction began inside of one without order")
        try:
            yield self._connection
        except BaseException as error:
            self.failure = self.failure or error  # a part of its work may be done, even if somebody ignores the error
            raise
