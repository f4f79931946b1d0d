"""Transactions on PostgreSQL: their order, their isolation, and what becomes of a connection that is lost."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any, cast

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError

from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.metadata.postgres.settings import PREPARE_THRESHOLD
from opstore_daemon.metadata.tables import Counter, Op, StoreIdentity
from opstore_daemon.protocol import errors
from opstore_daemon.store import journal
from opstore_daemon.store.journal import Stamp
from tests.support.schema import HEAD
from tests.support.waiting import wait_for


def add(database: Database, name: str, *, ordered: bool = True) -> None:
    """Add an op in a transaction."""
    with database.write(ordered=ordered) as connection:
        connection.execute(insert(Op).values(name=name, compat="exact", created_compat="exact"))


def names(database: Database) -> list[str]:
    """Return the names of all ops."""
    with database.read() as connection:
        return list(connection.execute(select(Op.name).order_by(Op.name)).scalars())


def value(connection: Connection, query: str) -> Any:
    """Return the one value that a query finds."""
    return connection.exec_driver_sql(query).scalar_one()


def run_together(*work: Callable[[], object]) -> None:
    """Run the functions in threads of their own; raise what one of them raises."""
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result()


def end_sessions(database: Database) -> None:
    """End all other sessions of the database, as a restart of the server does."""
    with database.engine.connect() as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        value(connection, f"SELECT count(pg_terminate_backend(pid, 10000)) {others}")


def test_a_new_database_gets_the_schema_once_whoever_asks_first(postgres_url: str) -> None:
    databases = [Database(postgres_url) for _ in range(3)]
    run_together(*(database.create_all for database in databases))
    assert len({database.store_id() for database in databases}) == 1
    assert [Migrate(database).current() for database in databases] == [HEAD] * 3
    for database in databases:
        database.close()


def test_positions_have_no_gaps_and_are_in_the_order_of_commits(database: Database, store_url: str) -> None:
    seen: list[int] = []

    def write(own: Database) -> None:
        for _ in range(5):
            with own.write() as connection:
                before = journal.last(connection)
                assert journal.append(connection, "pipeline", Stamp(1)) == before + 1
                seen.append(before + 1)  # under the lock, until the commit

    with closing(Database(store_url)) as other:
        run_together(*(lambda own=own: write(own) for own in [database, other] * 4))
    assert seen == list(range(1, 41))


def test_a_write_without_order_does_not_wait_for_one_with_order(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(Op).values(name="first", compat="exact", created_compat="exact"))
        run_together(lambda: add(database, "second", ordered=False))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(names, database).result() == ["second"]
    assert names(database) == ["first", "second"]


def test_nobody_writes_in_order_beside_a_read_between_writes(database: Database) -> None:
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"

    def is_blocked() -> bool:
        with database.engine.connect() as connection:
            return bool(value(connection, blocked))

    with ThreadPoolExecutor(1) as pool:
        with database.read_between_writes() as connection:
            assert journal.last(connection) == 0
            waits = pool.submit(add, database, "later")
            wait_for(is_blocked)
            assert not waits.done()
        waits.result()
    assert names(database) == ["later"]


def test_a_read_between_writes_does_not_wait_for_the_disk_or_a_standby_at_its_end(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SET synchronous_commit = remote_apply")  # of the session, which is used again
    with database.read_between_writes() as connection:
        assert value(connection, "SHOW synchronous_commit") == "off"
    with database.read() as connection:
        assert value(connection, "SHOW synchronous_commit") == "remote_apply"


def test_a_reader_sees_one_state_throughout_and_can_not_write(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(select(Op.name)).all() == []
        run_together(lambda: add(database, "pca"))
        assert connection.execute(select(Op.name)).all() == []
    refused = pytest.raises(errors.DatabaseFailed, match="it is a standby server, or default_transaction_read_only")
    with refused, database.read() as connection:
        connection.execute(insert(Op).values(name="never", compat="exact", created_compat="exact"))
    assert names(database) == ["pca"]


def test_no_setting_and_no_lock_outlives_its_transaction(store_url: str) -> None:
    settings = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")

    def state(connection: Connection) -> list[str]:
        return [value(connection, f"SHOW {name}") for name in settings]

    with closing(Database(f"{store_url}?pool_size=2")) as database:
        with database.engine.connect() as connection:
            before = state(connection)
        database.create_all()
        add(database, "pca")
        with database.write() as connection:
            assert state(connection) == ["30s", "1min", "1min", "on"], "a commit is on the disk, whatever the server's"
        with database.read() as connection:
            assert state(connection)[:3] == ["30s", "1min", "1min"]
        with database.read_for_long() as connection:
            assert state(connection)[1:3] == ["0", "0"]
        with database.engine.connect() as connection:
            assert state(connection) == before
            assert value(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_transaction_begins_in_one_round_trip(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    sent: list[Any] = []
    execute = psycopg.Cursor.execute

    def counted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(query)
        return execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    with database.write() as connection:
        assert len(sent) == 1
        connection.execute(select(Counter.position))
    assert len(sent) == 2
    with database.read() as connection:
        assert len(sent) == 3


def test_statements_stay_prepared_from_one_reading_transaction_to_the_next(database: Database) -> None:
    again = PREPARE_THRESHOLD + 1

    def prepared(connection: Connection) -> int:
        return int(value(connection, "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ '^SELECT op'"))

    def look_up_in_vain() -> None:
        with database.read() as connection:
            connection.execute(select(Op.name)).all()
            raise errors.OpNotFound(op="pca")

    for _ in range(again):
        with pytest.raises(errors.OpNotFound):
            look_up_in_vain()
    with database.read() as connection:
        assert prepared(connection) == 1
    for _ in range(again):
        with database.read_for_long() as connection:
            connection.execute(select(Op.compat)).all()
    with database.read() as connection:
        assert prepared(connection) == 2


def test_a_lost_prepared_statement_says_what_to_do_and_does_not_stay_lost(database: Database) -> None:
    for _ in range(PREPARE_THRESHOLD + 1):
        assert names(database) == []
    with database.read() as connection:
        # As if a pooler gave the next transaction another session. In a block, so that psycopg does not notice it.
        connection.exec_driver_sql("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    with pytest.raises(errors.DatabaseFailed, match=r"or append \?prepare_threshold=none to the URL"):
        names(database)
    assert names(database) == []


def test_a_transaction_with_a_failed_statement_is_not_reported_as_committed(database: Database) -> None:
    def ignore_failure() -> None:
        with database.write() as connection:
            connection.execute(insert(Op).values(name="lost", compat="exact", created_compat="exact"))
            with suppress(ProgrammingError):
                connection.execute(text("SELECT nothing"))

    with pytest.raises(errors.DatabaseFailed, match="so nothing was committed"):
        ignore_failure()
    add(database, "after")
    assert names(database) == ["after"]


def test_a_session_commits_at_its_end_and_rolls_back_to_its_last_commit(database: Database) -> None:
    def op(name: str) -> Any:
        return insert(Op).values(name=name, compat="exact", created_compat="exact")

    with database.session() as session:
        session.execute(op("said"))
        session.commit()
        session.execute(op("taken_back"))
        session.rollback()
        session.execute(op("after"))
    assert names(database) == ["after", "said"]


def test_the_engine_of_an_operator_has_transactions_too(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.execute(insert(Op).values(name="taken_back", compat="exact", created_compat="exact"))
        connection.rollback()
        connection.execute(insert(Op).values(name="kept", compat="exact", created_compat="exact"))
        connection.commit()
    assert names(database) == ["kept"]


def test_connections_that_broke_while_they_were_idle_are_replaced_without_an_error(
    database: Database, store_url: str
) -> None:
    with closing(Database(store_url)) as operator:
        add(database, "before")
        for use in (lambda: add(database, "after"), lambda: names(database)):
            end_sessions(operator)
            use()
    assert names(database) == ["after", "before"]


@pytest.mark.parametrize("when", ["in the middle", "at the commit"])
def test_a_connection_that_breaks_in_a_transaction_is_reported(database: Database, store_url: str, when: str) -> None:
    def write() -> None:
        with database.write() as connection:
            connection.execute(insert(Op).values(name="lost", compat="exact", created_compat="exact"))
            with closing(Database(store_url)) as operator:
                end_sessions(operator)
            if when == "in the middle":
                connection.execute(select(Op.name))

    error = errors.DatabaseFailed if when == "in the middle" else errors.OutcomeUnknown
    with pytest.raises(error, match="PostgreSQL server is shutting down"):
        write()
    add(database, "after")
    assert names(database) == ["after"]


def test_a_lock_that_somebody_holds_too_long_is_an_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from opstore_daemon.metadata.postgres import transactions

    monkeypatch.setattr(transactions, "ORDERED", transactions.ORDERED.replace("'30s'", "'50ms'"))
    with database.engine.connect() as connection:
        connection.execute(update(Counter).values(position=0))
        with pytest.raises(errors.DatabaseFailed, match="a lock was not free within 30 seconds"):
            add(database, "never")
    add(database, "after")
    assert names(database) == ["after"]


def test_a_long_read_can_be_interrupted_and_its_connection_is_not_used_again(database: Database) -> None:
    begun = threading.Event()
    running: list[Connection] = []
    own = "SELECT pg_backend_pid()"

    def wait_long() -> None:
        with database.read_for_long() as connection:
            running.append(connection)
            sessions.append(value(connection, own))
            begun.set()
            value(connection, "SELECT pg_sleep(600)")

    sessions: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        sleeps = pool.submit(wait_long)
        begun.wait(10)
        while not sleeps.done():  # it may not have begun its statement yet
            database.interrupt(running[0])
            with suppress(TimeoutError, errors.DatabaseFailed):
                sleeps.result(0.05)
        with pytest.raises(errors.DatabaseFailed, match="a statement was cancelled"):
            sleeps.result()
    with database.read() as connection:
        assert value(connection, own) not in sessions


def test_an_older_daemon_writes_nothing_into_a_database_for_newer_ones(database: Database) -> None:
    add(database, "before")
    with database.engine.begin() as connection:
        connection.execute(update(Counter).values(oldest_schema="0099"))
    with pytest.raises(errors.SchemaTooNew, match="the schema 0099, which is newer"):
        add(database, "never")
    add(database, "unordered", ordered=False)
    assert names(database) == ["before", "unordered"]


@pytest.mark.parametrize("change", ["another store", "an older copy"])
def test_a_database_that_was_replaced_under_the_daemon_gets_no_writes(database: Database, change: str) -> None:
    with database.write() as connection:
        journal.append(connection, "pipeline", Stamp(1))
    add(database, "before")
    with database.engine.begin() as connection:
        if change == "another store":
            connection.execute(update(StoreIdentity).values(id="0" * 32))
        else:
            connection.execute(update(Counter).values(position=0))
    with pytest.raises(errors.DatabaseReplaced, match=r"0{32} now|ends at position 0, and had reached 1"):
        add(database, "never")
    assert names(database) == ["before"]


def test_a_constraint_that_fires_is_a_failure_of_the_database(database: Database) -> None:
    add(database, "pca")
    with pytest.raises(errors.DatabaseFailed, match=r"a constraint was violated: .*uq_op_name"):
        add(database, "pca")


def test_texts_are_ordered_by_their_bytes_whatever_the_locale_of_the_server(database: Database) -> None:
    with database.read() as connection:
        others = value(
            connection,
            "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'r'"
            " AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND c.relname <> 'alembic_version'"
            " AND a.attcollation NOT IN (0, 'pg_catalog.\"C\"'::regcollation)",
        )
    assert others == 0


def test_the_size_is_that_of_the_database(database: Database) -> None:
    size = database.size()
    assert size is not None
    assert size > 1_000_000


def test_a_failure_says_what_the_driver_says_once(database: Database) -> None:
    with pytest.raises(errors.DatabaseFailed) as caught, database.read() as connection:
        connection.exec_driver_sql("SELECT 1 / 0")
    assert caught.value.text == "the database failed: division by zero"
    assert isinstance(caught.value.__cause__, DBAPIError)


def test_connections_in_use_are_closed_after_the_database(store_url: str) -> None:
    database = Database(store_url)
    with database.read() as before, database.write() as other:
        drivers = [cast(Any, each.connection.driver_connection) for each in (before, other)]
        database.close()
        assert [driver.closed for driver in drivers] == [False, False]
    assert [driver.closed for driver in drivers] == [True, True]
