"""The database: its pragmas, its transactions, and the errors that it raises in place of SQLite's."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import OperationalError

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Op
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from tests.support.faults import commit_fails
from tests.support.schema import HEAD

PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout")


def pragma(connection: Connection, name: str) -> object:
    """Return the value that a connection has for it."""
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def names(database: Database) -> list[str]:
    """Return the names of all ops."""
    with database.read() as connection:
        return list(connection.execute(select(Op.name).order_by(Op.name)).scalars())


def add(connection: Connection, name: str) -> None:
    """Add an op."""
    connection.execute(text("INSERT INTO op (name) VALUES (:name)"), {"name": name})


def add_and_fail(connection: Connection, name: str, failure: BaseException) -> None:
    """Add an op and raise the failure."""
    add(connection, name)
    raise failure


def test_pragmas_of_the_writer_and_the_readers(database: Database) -> None:
    with database.write() as connection:
        assert [pragma(connection, name) for name in PRAGMAS] == ["wal", 2, 1, 0, 10_000]
        assert pragma(connection, "query_only") == 0
        assert pragma(connection, "wal_autocheckpoint") == 1000
        assert pragma(connection, "temp_store") == 2, "in memory"
    with database.read() as connection:
        connection.execute(select(Op.name))  # a connection learns of the journal mode when it reads
        assert [pragma(connection, name) for name in PRAGMAS] == ["wal", 2, 1, 0, 10_000]
        assert pragma(connection, "query_only") == 1


def test_a_database_in_memory_enforces_foreign_keys_too() -> None:
    database = Database("sqlite:///:memory:")
    with database.write() as connection:
        assert [pragma(connection, name) for name in PRAGMAS] == ["memory", 2, 1, 0, 10_000]
    database.close()


def test_only_the_writer_checkpoints(database: Database) -> None:
    with database.read() as connection:
        assert pragma(connection, "wal_autocheckpoint") == 0
    assert database.path is not None
    log = database.path.with_name(database.path.name + "-wal")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE filler (data BLOB)")
    for _ in range(20):
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(1000000))")
    assert log.stat().st_size < 10_000_000  # 20 MB went through it: the writer has put them where they belong


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(errors.DatabaseFailed, match="readonly"), database.read() as connection:
        add(connection, "pca")
    assert names(database) == []


def test_a_reader_sees_one_state_throughout(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(select(Op.name)).all() == []
        with database.write() as writer:
            add(writer, "pca")
        assert connection.execute(select(Op.name)).all() == []
    assert names(database) == ["pca"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, errors.OpNotFound])
def test_a_transaction_that_fails_is_rolled_back(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error), database.write() as connection:
        add_and_fail(connection, "pca", error(op="x") if error is errors.OpNotFound else error())
    assert names(database) == []
    with database.write() as connection:
        add(connection, "pca")
    assert names(database) == ["pca"]


def test_writers_queue_at_our_own_lock(database: Database) -> None:
    inside = threading.Semaphore(1)

    def write(n: int) -> None:
        with database.write() as connection:
            assert inside.acquire(blocking=False)
            add(connection, f"op{n}")
            inside.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    assert len(names(database)) == 80


def test_a_writer_waits_for_its_turn_without_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_daemon.metadata.sqlite.connections.WAIT", 0.01)
    database = Database(f"sqlite:///{tmp_path / 'opstore.db'}")
    database.create_all()
    begun = threading.Event()

    def write() -> None:
        begun.set()
        with database.write() as connection:
            add(connection, "second")

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            add(connection, "first")
            second = pool.submit(write)
            begun.wait(10)
            with pytest.raises(TimeoutError):
                second.result(0.2)
        second.result()
    assert names(database) == ["first", "second"]
    database.close()


def test_a_writing_transaction_holds_the_lock_of_the_database_from_its_beginning(database: Database) -> None:
    other = sqlite3.connect(str(database.path), timeout=0, isolation_level=None)
    with database.write() as connection:
        connection.execute(select(Op.name)).all()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_constraint_that_fires_is_a_failure_of_the_database(database: Database) -> None:
    with database.write() as connection:
        add(connection, "pca")
    refused = pytest.raises(errors.DatabaseFailed, match=r"a constraint was violated: UNIQUE.*op\.name")
    with refused, database.write() as connection:
        add(connection, "pca")
    assert names(database) == ["pca"]


def test_a_full_disk_is_storage_full(database: Database) -> None:
    with database.write() as connection:
        add(connection, "before")
    with database.read() as connection:
        pages = pragma(connection, "page_count")
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.rollback()
    with pytest.raises(errors.StorageFull), database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE filler AS SELECT zeroblob(1000000)")
    assert names(database) == ["before"]


@pytest.mark.parametrize("happened", [False, True])
def test_a_commit_that_fails_leaves_the_outcome_unknown(
    database: Database, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    with (
        commit_fails(database, monkeypatch, happened=happened),
        pytest.raises(errors.OutcomeUnknown, match="disk I/O error"),
        database.write() as connection,
    ):
        add(connection, "pca")
    assert names(database) == (["pca"] if happened else [])
    with database.write() as connection:
        add(connection, "after")
    assert "after" in names(database)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql+pymysql://u:p@h/x", "mysql is not supported"),
        ("opstore.db", "'opstore.db' is not a database URL: use sqlite:///PATH or postgresql://"),
        ("", "'' is not a database URL"),
    ],
)
def test_a_database_of_another_kind_is_refused(url: str, reason: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=reason):
        Database(url)


def test_a_folder_that_is_not_there_is_a_failure_of_the_database(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'opstore.db'}")
    with pytest.raises(errors.DatabaseFailed, match="unable to open database file"):
        database.create_all()
    database.close()


def test_a_server_has_a_database_an_engine_sessions_and_migrations(tmp_path: Path) -> None:
    server = OpStoreServer(MemorySaver(), f"sqlite:///{tmp_path / 'opstore.db'}")
    assert repr(server.flask) == "<Flask 'OpStoreServer'>"
    server.db.create_all()
    assert server.migrate.upgrade() is None
    assert server.migrate.current() == server.migrate.head() == HEAD
    server.migrate.check()
    server.store.register_pipeline("p", ["pca"])
    with server.db.engine.connect() as connection:
        assert connection.execute(select(Op.name)).scalars().all() == ["pca"]
    with server.db.session() as session:
        assert session.scalars(select(Op.name)).all() == ["pca"]
    server.close()


@pytest.mark.parametrize("url", ["file", "memory"])
def test_a_session_commits_at_its_end(url: str, tmp_path: Path) -> None:
    database = Database("sqlite:///:memory:" if url == "memory" else f"sqlite:///{tmp_path / 'opstore.db'}")
    database.create_all()
    with database.session() as session:
        session.execute(insert(Op).values(name="unsaid"))
    with database.session() as session:
        session.execute(insert(Op).values(name="said"))
        session.commit()
        session.execute(insert(Op).values(name="taken_back"))
        session.rollback()
        session.execute(insert(Op).values(name="after"))
    with pytest.raises(ValueError, match="no"), database.session() as session:
        add_and_fail(session.connection(), "never", ValueError("no"))
    assert names(database) == ["after", "said", "unsaid"]
    database.close()


def test_there_is_one_writing_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_daemon.metadata.sqlite.connections.WAIT", 0.01)
    database = Database(f"sqlite:///{tmp_path / 'opstore.db'}")
    database.create_all()
    refused = pytest.raises(errors.DatabaseFailed, match="no connection became available")
    with database.engine.connect(), refused, database.write():
        pass
    database.close()


def test_use_of_the_engine_blocks_writers_and_joins_no_transaction(database: Database) -> None:
    held, write = threading.Event(), threading.Event()

    def hold() -> None:
        with database.engine.connect() as connection:
            add(connection, "mine")
            held.set()
            write.wait(10)
            with pytest.raises(OperationalError):
                connection.exec_driver_sql("no such statement")
            connection.rollback()

    def add_ours() -> None:
        held.wait(10)
        write.set()
        with database.write() as connection:
            add(connection, "ours")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(hold), pool.submit(add_ours)]:
            done.result()
    assert names(database) == ["ours"]
