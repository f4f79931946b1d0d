"""The migrations: which schema a database has, and how it gets to ours."""

import errno
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, table, text
from sqlalchemy.exc import IntegrityError, SAWarning

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database, Migrate, migrate
from opstore_daemon.metadata.tables import Base
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.savers import MemorySaver
from tests.support.faults import fails, record_names, refuse_folder_sync
from tests.support.figures import few
from tests.support.new_run import new_run
from tests.support.schema import HEAD, create_older, described, turn_older

LATER = '''
"""A later schema, for the tests."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade() -> None:
    op.add_column("op", sa.Column("owner", sa.Text(), nullable=True))
    op.execute("UPDATE op SET owner = 'ann'")
    {then}
'''

Schemas = Callable[[str], None]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Schemas:
    """Make this a later release, with one more migration that ends in the given statement."""

    def later(then: str = "pass") -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / "9999_later.py").write_text(LATER.format(then=then, head=HEAD))
        monkeypatch.setattr(migrate, "FOLDER", folder)

    return later


def revision_in(path: Path) -> str:
    """Return the revision of a database file, read by SQLite alone."""
    connection = sqlite3.connect(path)
    try:
        found: str = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    finally:
        connection.close()
    return found


def test_a_fresh_database_gets_the_schema_without_a_backup(empty: Database) -> None:
    migrations = Migrate(empty)
    assert migrations.current() is None
    assert migrations.upgrade() is None
    assert migrations.current() == migrations.head()
    with empty.read() as connection:
        assert connection.exec_driver_sql("SELECT id, position FROM counter").all() == [(1, 0)]


def test_an_upgrade_of_a_current_schema_changes_nothing(database: Database) -> None:
    before = described(database)
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES ('pca')")
    assert Migrate(database).upgrade() is None
    assert described(database) == before
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT name FROM op").scalars().all() == ["pca"]
    assert backups_of(database) == []


def backups_of(database: Database) -> list[Path]:
    """Return the backups beside the database."""
    assert database.path is not None
    return list(database.path.parent.glob("*.before-*"))


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Database]:
    """Return a database that has gone through every migration, as the oldest ones have."""
    database = Database(f"sqlite:///{tmp_path / 'migrated.db'}")
    with database.write() as connection:
        migrate._migrate(connection)
    yield database
    database.close()


def test_migrations_create_the_same_schema_as_a_new_database_has(database: Database, migrated: Database) -> None:
    new, old = described(database), described(migrated)
    assert set(old) == set(new)
    for name in sorted(new):
        assert old[name] == new[name], name
    assert "coalesce(downstream_version_id,0)" in new["indexes"]["uq_link_in_force"]
    for each in (database, migrated):
        assert Migrate(each).current() == HEAD
        with each.read() as connection:
            rows = {
                name: connection.execute(select(text("*")).select_from(table(name))).all()
                for name in inspect(connection).get_table_names()
            }
        ((_, store_id, _, release, _),) = rows.pop("store")
        assert release == __version__
        assert re.fullmatch("[0-9a-f]{32}", store_id)
        assert {name: found for name, found in rows.items() if found} == {
            "alembic_version": [(HEAD,)],
            "counter": [(1, 0, 0, "0012")],
        }


def test_the_files_of_the_migrations_are_named_by_their_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    known = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    assert migrate.known_revisions() == known[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("state", few(1, ["none", "ours"]))
def test_alembic_is_imported_only_for_an_older_schema(state: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'opstore.db'}"
    if state == "ours":
        OpStoreServer(MemorySaver(), url).close()
    code = (
        "import sys; from opstore_daemon import OpStoreServer; from opstore_daemon.savers import MemorySaver;"
        "OpStoreServer(MemorySaver(), sys.argv[1]).close(); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, url], check=True, timeout=60)
    assert revision_in(tmp_path / "opstore.db") == HEAD


def test_two_processes_that_start_together_create_the_schema_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'opstore.db'}"
    first, second = Database(url), Database(url)
    seen: list[str | None] = []

    class Overtaken(Migrate):
        def current(self) -> str | None:
            seen.append(super().current())
            Migrate(second).upgrade()
            return seen[-1]

    assert Overtaken(first).upgrade() is None
    assert (seen, Migrate(first).current()) == ([None], HEAD)
    for each in (first, second):
        each.close()


def test_alembic_finds_nothing_to_migrate(database: Database) -> None:
    with database.read() as connection, warnings.catch_warnings():
        # Of the expression index; the test above compares it.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", SAWarning)
        warnings.filterwarnings("ignore", "autogenerate skipping")
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = [
            change
            for change in compare_metadata(context, Base.metadata)
            if getattr(change[1], "name", "") != "uq_link_in_force"
        ]
    assert found == []


def test_a_newer_schema_is_refused_and_unchanged(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    before = described(database)
    migrations = Migrate(database)
    assert migrations.current() == "0999"
    for ask in (migrations.check, migrations.upgrade, database.create_all):
        with pytest.raises(errors.SchemaTooNew, match=rf"0999.*newer than this opstore \({HEAD}\)"):
            ask()
    with pytest.raises(errors.SchemaTooNew):
        OpStoreServer(MemorySaver(), database.url.render_as_string())
    assert described(database) == before
    assert backups_of(database) == []


RELEASES = [
    ("12.1.0", "install opstore 12.1.0 or later"),
    ("1.0.0rc1", "install opstore 1.0.0rc1 or later"),
    *((value, "update opstore") for value in (None, __version__, "0.0.1", "", "nonsense", "9" * 40, "9." * 500_000)),
    *(
        (value, "update opstore")
        for value in ("12.1.0; rm -rf ~", "\x1b[2J", "१.२.३", "12.1.0\n", 12, 1e300, b"12.1.0")
    ),
]


@pytest.mark.parametrize(("release", "advice"), few(2, RELEASES), ids=range(len(RELEASES)))
def test_a_newer_schema_names_the_release_that_made_it_if_that_is_one(
    database: Database, release: object, advice: str
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
        connection.exec_driver_sql("UPDATE store SET release = ?", (release,))
    with pytest.raises(errors.SchemaTooNew) as refused:
        Migrate(database).upgrade()
    assert refused.value.advice == advice
    named = release if advice != "update opstore" else None
    assert (refused.value.details["release"], Migrate(database).release_needed("0999")) == (named, named)
    assert Migrate(database).release_needed(HEAD) is None, "this release reads it"


@pytest.mark.parametrize(
    "later", ["DROP TABLE store", "ALTER TABLE store RENAME COLUMN release TO made_by", "DELETE FROM store"]
)
def test_a_newer_schema_that_names_no_release_as_ours_does_is_refused_the_same(database: Database, later: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
        connection.exec_driver_sql(later)
    with pytest.raises(errors.SchemaTooNew) as refused:
        Migrate(database).check()
    assert refused.value.advice == "update opstore"


@pytest.mark.parametrize("revision", ["\x1b[2J", "9" * 100_000, "0999 ", "", 1.5, b"0999"])
def test_a_revision_that_nobody_can_read_is_called_unknown(database: Database, revision: object) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(errors.SchemaTooNew) as refused:
        Migrate(database).check()
    assert refused.value.details["found"] == "unknown"


def test_an_older_schema_is_upgraded_after_a_backup(database: Database, release: Schemas) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES ('pca')")
    release("pass")
    migrations = Migrate(database)
    assert (migrations.current(), migrations.head()) == (HEAD, "9999")
    backup = migrations.upgrade()
    assert backup is not None
    assert migrations.current() == "9999"
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT name, owner FROM op").all() == [("pca", "ann")]
    assert revision_in(backup) == HEAD
    old = Database(f"sqlite:///{backup}")
    with old.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("SELECT name FROM op").all() == [("pca",)]
    old.close()
    assert migrations.upgrade() is None
    assert backups_of(database) == [backup]


def test_a_backup_is_on_the_disk_with_its_name_before_the_upgrade(
    database: Database, release: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    release("pass")
    log = record_names(monkeypatch, "fsync", "replace")
    assert Migrate(database).upgrade() is not None
    assert log == ["fsync", "replace", "fsync folder"]


def test_a_backup_is_for_the_owner_of_the_database_only(database: Database, release: Schemas) -> None:
    """A program that opens a store in process has a umask of its own."""
    release("pass")
    before = os.umask(0o022)
    try:
        backup = Migrate(database).upgrade()
    finally:
        os.umask(before)
    assert backup is not None
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_a_file_system_that_can_not_sync_folders_takes_the_backup(
    database: Database, release: Schemas, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    release("pass")
    refuse_folder_sync(monkeypatch, error)
    backup = Migrate(database).upgrade()
    assert backup is not None
    assert revision_in(backup) == HEAD


def test_a_server_has_the_path_of_the_backup_it_made(database: Database, release: Schemas) -> None:
    release("pass")
    server = OpStoreServer(MemorySaver(), database.url.render_as_string())
    assert server.backup is not None
    assert revision_in(server.backup) == HEAD
    assert server.status().schema == "9999"
    server.close()


def test_an_upgrade_that_fails_leaves_the_old_schema_whole(database: Database, release: Schemas) -> None:
    before = described(database)
    release("op.execute('no such statement')")
    with pytest.raises(errors.DatabaseFailed):
        Migrate(database).upgrade()
    assert described(database) == before
    assert Migrate(database).current() == HEAD
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (name) VALUES ('pca')")


def test_an_upgrade_is_tried_again_over_the_backup_of_the_one_that_failed(
    database: Database, release: Schemas, tmp_path: Path
) -> None:
    release("op.execute('no such statement')")
    with pytest.raises(errors.DatabaseFailed):
        Migrate(database).upgrade()
    (failed,) = backups_of(database)
    (tmp_path / "migrations" / "versions" / "9999_later.py").write_text(LATER.format(then="pass", head=HEAD))
    assert Migrate(database).upgrade() == failed
    assert revision_in(failed) == HEAD


def full_disk(database: Database, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Let the disk be full at this step of an upgrade."""
    if at == "the look":
        free = SimpleNamespace(f_bavail=10, f_frsize=1, f_files=1, f_favail=1)
        monkeypatch.setattr(os, "statvfs", lambda _path: free)
    elif at == "the sync":
        monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    elif at == "the name":
        monkeypatch.setattr(os, "replace", fails(errno.EDQUOT))
    else:
        connection = database.engine.raw_connection()
        cursor = connection.cursor()
        cursor.execute("PRAGMA max_page_count = 1")
        cursor.fetchall()
        connection.close()


@pytest.mark.parametrize("at", few(1, ["the look", "the sync", "the name", "the upgrade"]))
def test_an_upgrade_on_a_full_disk_changes_nothing_and_leaves_no_backup(
    database: Database, release: Schemas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: str
) -> None:
    before, files = described(database), sorted(path.name for path in tmp_path.iterdir())
    release("op.execute('CREATE TABLE filler AS SELECT zeroblob(100000) AS data')")
    with monkeypatch.context() as patch:
        full_disk(database, patch, at)
        with pytest.raises(errors.StorageFull) as full:
            Migrate(database).upgrade()
    if at == "the look":
        assert re.search(r"opstore.db needs \d{5,} bytes, one half for a backup, and 10 are free", full.value.text)
    assert described(database) == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "migrations") == files
    with database.write() as connection:
        cursor = connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        cursor.fetchall()
    assert Migrate(database).upgrade() in backups_of(database)


def test_a_database_in_memory_is_upgraded_without_a_backup(release: Schemas) -> None:
    database = Database("sqlite:///:memory:")
    database.create_all()
    release("pass")
    assert Migrate(database).upgrade() is None
    assert Migrate(database).current() == "9999"
    database.close()


def test_an_older_release_refuses_the_upgraded_schema(
    database: Database, release: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = migrate.FOLDER
    release("pass")
    Migrate(database).upgrade()
    monkeypatch.setattr(migrate, "FOLDER", ours)
    with pytest.raises(errors.SchemaTooNew):
        Migrate(database).upgrade()


def test_an_older_database_keeps_the_level_of_its_ops_and_its_links_to_any_version(tmp_path: Path) -> None:
    path = tmp_path / "opstore.db"
    with closing(OpStoreServer(MemorySaver(), f"sqlite:///{path}")) as server:
        server.store.register_pipeline("churn", ["pca", "forest"], new_ops="major")
        server.store.register("pca", subversions="aaaa.aaaa.aaaa", valid_for=["forest@any"])
        server.store.register("pca", subversions="aaaa.bbbb.aaaa")
        then = server.store.show("pca").position
        server.store.set_op("pca", compat="minor")
        before = answers(server, then)
    turn_older(path, "0005")
    with closing(OpStoreServer(MemorySaver(), f"sqlite:///{path}")) as server:
        assert answers(server, then) == before
        server.store.register("knn", subversions="aaaa.aaaa.aaaa")
        assert [(op.name, op.compat) for op in server.store.ops()] == [
            ("forest", "major"),
            ("knn", "exact"),
            ("pca", "minor"),
        ]


def answers(server: OpStoreServer, then: int) -> list[object]:
    """Return what the store says of `pca` and `forest`, now and at the position."""
    store = server.store
    past = store.validate("pca", "forest", as_of=f"{then}")
    assert past.edges[0].basis == "compatible"
    return [store.links(), store.validate("pca", "forest"), past, store.op("pca")]


def test_tags_that_are_called_any_are_renamed_with_a_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "opstore.db"
    with closing(OpStoreServer(MemorySaver(), f"sqlite:///{path}")) as server:
        for op in ("forest", "pca"):
            server.store.register(op, subversions="aaaa.aaaa.aaaa")
            server.store.tag(op, "was-any")
        server.store.tag("pca", "any-tag")
        then = server.store.tags("pca")[0].position
        server.store.untag("forest", "was-any")
    turn_older(path, "0005")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tag SET name = 'any' WHERE name = 'was-any'")
    with closing(OpStoreServer(MemorySaver(), f"sqlite:///{path}")) as server:
        assert [(tag.op, tag.tag) for tag in server.store.tags()] == [("pca", "any-tag"), ("pca", "any-tag-2")]
        assert [tag.tag for tag in server.store.tags("forest", as_of=f"{then}")] == ["any-tag"]
        assert server.store.show("pca@any-tag-2").version == "1.0.0"
    assert caplog.messages == [
        "the tag any of forest is now any-tag: forest@any means any version",
        "the tag any of pca is now any-tag-2: pca@any means any version",
    ]


@pytest.mark.slow
def test_a_journal_with_entries_admits_runs_after_the_upgrade_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "opstore.db"
    with closing(OpStoreServer(MemorySaver(), f"sqlite:///{path}")) as server:
        server.store.register("pca", subversions="aaaa.aaaa.aaaa", labels={"k": "v"})
        server.store.register("forest", subversions="aaaa.aaaa.aaaa", valid_with=["pca"])
        server.store.register_pipeline("churn", ["pca", "forest"])
        before = (server.store.log(), server.store.links(), server.store.pipelines())
    turn_older(path, "0009")
    with closing(OpStoreServer(MemorySaver(), f"sqlite:///{path}")) as server:
        assert (server.store.log(), server.store.links(), server.store.pipelines()) == before
        (link,) = server.store.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0")).links
        assert link.run == server.store.runs()[0].position
        with server.db.write() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA writable_schema").scalar_one() == 0
            with pytest.raises(IntegrityError, match="ck_journal_kind"):
                connection.exec_driver_sql("INSERT INTO journal (position, at, kind) VALUES (99, 0, 'rumour')")


def test_a_journal_with_an_unexpected_constraint_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "opstore.db"
    create_older(path, "0009")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, '''tag'', ', '') WHERE name = 'journal'")
    database = Database(f"sqlite:///{path}")
    with pytest.raises(errors.DatabaseFailed, match="its journal has another constraint"):
        Migrate(database).upgrade()
    with database.write() as writer:
        assert writer.exec_driver_sql("PRAGMA writable_schema").scalar_one() == 0
    database.close()
    assert revision_in(path) == "0009"
