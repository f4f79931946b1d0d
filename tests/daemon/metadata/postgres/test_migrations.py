"""Later migrations on PostgreSQL: Alembic in one transaction, whoever of several daemons does it."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from opstore_daemon.metadata import Database, Migrate, migrate
from opstore_daemon.protocol import errors
from tests.support.schema import HEAD

LATER = """
import sqlalchemy as sa
from alembic import op
from opstore_daemon.metadata.postgres.schema import as_bytes

revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", as_bytes(sa.Text())))
    with op.batch_alter_table("op") as op_table:
        op_table.add_column(sa.Column("owner", sa.Text(), nullable=False, server_default=""))
        op_table.create_check_constraint("owner", "length(owner) < 100")
    op.execute("UPDATE op SET owner = name")
    {then}
"""


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function after which this release has one more migration."""

    def later(then: str) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / "9999_later.py").write_text(LATER.format(then=then, head=HEAD))
        monkeypatch.setattr(migrate, "FOLDER", folder)

    return later


def columns(database: Database) -> set[str]:
    """Return the columns of the table op."""
    with database.read() as connection:
        return {column["name"] for column in inspect(connection).get_columns("op")}


def test_an_older_schema_is_upgraded_by_one_of_several_daemons(
    database: Database, store_url: str, release: Callable[[str], None]
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES ('pca')")
    release("pass")
    databases = [Database(store_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda each: Migrate(each).upgrade(), databases)) == [None] * 3
    for each in databases:
        with closing(each), each.read() as connection:
            assert connection.exec_driver_sql("SELECT name, owner FROM op").all() == [("pca", "pca")]
            assert Migrate(each).current() == "9999"


def test_an_upgrade_that_fails_leaves_the_old_schema_whole(database: Database, release: Callable[[str], None]) -> None:
    release("op.execute('SELECT 1 / 0')")
    with pytest.raises(errors.DatabaseFailed, match="division by zero"):
        Migrate(database).upgrade()
    assert Migrate(database).current() == HEAD
    assert "owner" not in columns(database)
    assert "later" not in Migrate(database).tables()


def test_an_upgrade_waits_for_the_transactions_of_older_daemons(
    database: Database, store_url: str, release: Callable[[str], None]
) -> None:
    release("pass")
    with closing(Database(store_url)) as later, ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO op (name) VALUES ('pca')")
            upgrade = pool.submit(Migrate(later).upgrade)
            with pytest.raises(TimeoutError):
                upgrade.result(0.3)
        upgrade.result()
        with later.read() as connection:
            assert connection.exec_driver_sql("SELECT owner FROM op").scalars().all() == ["pca"]
