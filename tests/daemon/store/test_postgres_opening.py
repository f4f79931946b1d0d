"""A database in PostgreSQL and blobs in a folder are opened together, or refused, as with SQLite."""

from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from tests.support.postgres import Postgres


def fill(folder: Path, url: str) -> str:
    """Push a version; return the id of the store."""
    with closing(OpStoreServer(FileSaver(folder), url)) as server:
        server.store.push("pca", b"bytes")
        return server.db.store_id()


def open_both(folder: Path, url: str) -> None:
    """Open them and close them again."""
    OpStoreServer(FileSaver(folder), url).close()


def test_a_new_database_beside_the_blobs_of_another_one_is_refused_and_stays_empty(
    tmp_path: Path, postgres_url: str, postgres: Postgres
) -> None:
    store_id = fill(tmp_path / "blobs", postgres_url)
    with postgres.database() as other:
        where = r"postgresql://127\.0\.0\.1:\d+/\w+ has no tables, and the blobs are of the store " + store_id
        with pytest.raises(errors.DatabaseLost, match=where):
            open_both(tmp_path / "blobs", other)
        with closing(Database(other)) as database:
            assert database.size()
            with database.read() as connection:
                assert connection.exec_driver_sql("SELECT to_regclass('counter')").scalar_one() is None
        fill(tmp_path / "others", other)
        with pytest.raises(errors.StoreMismatch, match=r"the database postgresql://127\.0\.0\.1:\d+/\w+ belongs to"):
            open_both(tmp_path / "blobs", other)
    open_both(tmp_path / "blobs", postgres_url)


def test_a_database_without_the_last_commits_is_refused(tmp_path: Path, postgres_url: str) -> None:
    fill(tmp_path / "blobs", postgres_url)
    with closing(Database(postgres_url)) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE counter SET position = 0")
    with pytest.raises(errors.DatabaseDamaged, match="its last commits are missing: it ends at position 0"):
        open_both(tmp_path / "blobs", postgres_url)


def test_a_database_of_another_program_is_refused_and_stays_what_it_is(tmp_path: Path, postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE experiments (id integer)")
        with pytest.raises(errors.DatabaseDamaged, match="the table version is missing"):
            open_both(tmp_path / "blobs", postgres_url)
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT to_regclass('counter')").scalar_one() is None


def test_two_daemons_do_not_share_a_folder(tmp_path: Path, postgres_url: str) -> None:
    with (
        closing(OpStoreServer(FileSaver(tmp_path / "blobs"), postgres_url)),
        pytest.raises(errors.StoreInUse, match="blobs"),
    ):
        open_both(tmp_path / "blobs", postgres_url)


@pytest.mark.parametrize(
    ("options", "reason"),
    [("ENCODING 'SQL_ASCII'", "has the encoding SQL_ASCII: create it with the encoding UTF8")],
)
def test_a_database_that_can_not_hold_a_store_is_refused(
    tmp_path: Path, postgres: Postgres, options: str, reason: str
) -> None:
    postgres.execute(f"CREATE DATABASE {{}} TEMPLATE template0 {options}", "unusable")
    try:
        with pytest.raises(errors.InvalidSetting, match=reason):
            open_both(tmp_path / "blobs", postgres.url("unusable"))
    finally:
        postgres.execute("DROP DATABASE {} WITH (FORCE)", "unusable")
