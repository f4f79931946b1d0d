"""The checks of a PostgreSQL database: what a superuser or a disk can do to it, each found by one of them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.checks import Damage
from opstore_daemon.metadata.tables import Op
from opstore_daemon.protocol.records import FsckReport
from opstore_daemon.savers import FileSaver
from tests.support.figures import few

WITHOUT_TRIGGERS = "SET session_replication_role = replica"


@pytest.fixture
def filled(store_url: str, tmp_path: Path) -> OpStoreServer:
    """Return a server with an op, a version and a label."""
    server = OpStoreServer(FileSaver(tmp_path / "blobs"), store_url)
    server.store.push("pca", b"bytes", labels={"k": "v"})
    return server


def found(database: Database) -> list[Damage]:
    """Return what the checks find."""
    damages: list[Damage] = []
    for check in database.checks():
        with database.read_for_long() as connection:
            damages += check.read(connection)
    return damages


def change(database: Database, *statements: str) -> None:
    """Run statements as a superuser."""
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.slow
def test_a_sound_database_has_no_finding(filled: OpStoreServer) -> None:
    assert found(filled.db) == []
    filled.close()


@pytest.mark.parametrize(
    ("statements", "expected"),
    few(
        2,
        [
            (["DROP INDEX uq_link_in_force"], ["the index uq_link_in_force of link is missing"]),
            (["ALTER TABLE op DROP CONSTRAINT ck_op_compat"], ["the constraint ck_op_compat of op is missing"]),
            (
                ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_version_digest'::regclass"],
                ["it is not valid"],
            ),
            (
                [
                    "ALTER TABLE op DROP CONSTRAINT ck_op_compat",
                    "UPDATE op SET compat = 'all'",
                    "ALTER TABLE op ADD CONSTRAINT ck_op_compat"
                    " CHECK (compat IN ('major', 'minor', 'exact')) NOT VALID",
                ],
                ["it was never validated", "1 of its rows violate ck_op_compat"],
            ),
            (
                ["SET LOCAL session_replication_role = replica", "DELETE FROM op"],
                ["it refers to a row of op that does not exist"] * 2,
            ),
            (
                ["SELECT setval(pg_get_serial_sequence('op', 'id'), 1, false)"],
                ["its sequence continues with 1, and id 1 exists"],
            ),
        ],
    ),
    ids=["index", "constraint", "invalid index", "violated rule", "reference", "sequence"],
)
def test_what_is_wrong_with_a_database_is_found(
    filled: OpStoreServer, statements: Sequence[str], expected: Sequence[str]
) -> None:
    change(filled.db, *statements)
    assert sorted(damage.observed for damage in found(filled.db)) == sorted(expected)
    filled.close()


@pytest.mark.slow
def test_indexes_are_compared_with_their_tables_if_amcheck_is_there(filled: OpStoreServer, tmp_path: Path) -> None:
    with filled.db.engine.connect() as connection:
        has = "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'"
        if not connection.exec_driver_sql(has).scalar_one():
            pytest.skip("this PostgreSQL has no amcheck")
    change(filled.db, "CREATE EXTENSION amcheck")
    assert found(filled.db) == []
    filled.close()


def test_fsck_checks_a_store_in_postgresql_and_says_how_it_is_restored(filled: OpStoreServer) -> None:
    assert filled.store.fsck(read_data=True).findings == ()
    change(filled.db, "DROP INDEX uq_link_in_force")
    report: FsckReport = filled.store.fsck()
    (finding,) = report.findings
    assert (finding.kind, finding.what) == ("database", filled.db.name)
    assert "restore a backup of the database, as pg_restore does" in finding.advice
    with filled.db.read() as connection:
        assert connection.execute(select(Op.name)).scalars().all() == ["pca"]
    filled.close()
