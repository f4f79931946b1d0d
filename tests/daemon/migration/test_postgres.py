"""A store moves to PostgreSQL and back: values are the same in both databases, and ids go on after the highest one."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from opstore_daemon.metadata import Database, row_copy
from opstore_daemon.metadata.tables import Base
from opstore_daemon.migration.rows import RowCopy
from opstore_daemon.protocol import errors
from tests.daemon.migration.test_crashes import STEPS, failing
from tests.daemon.migration.test_moving import empty_place, needed
from tests.support.faults import Crash
from tests.support.figures import few
from tests.support.moves import StorePlace, instant


@pytest.fixture
def server_place(target: StorePlace, postgres_url: str) -> StorePlace:
    """An empty place in PostgreSQL and files."""
    return target.at(db=postgres_url)


@pytest.mark.slow
def test_every_row_is_the_same_there_and_back(source: StorePlace, server_place: StorePlace, tmp_path: Path) -> None:
    rows, data = source.rows(), needed(source)
    moved = source.move_to(server_place)
    assert (server_place.rows(), server_place.blobs()) == (rows, data)
    # psql and pg_dump take it, too: without the driver.
    assert moved.db == server_place.db.replace(secret(server_place.db), "***").replace("+psycopg", "")
    with closing(Database(server_place.db)) as database, database.read() as connection:
        # The planner knows the rows; autovacuum would have counted them later.
        counted = "SELECT relname, reltuples FROM pg_class WHERE relname IN ('version', 'journal', 'op')"
        found = {row.relname: row.reltuples for row in connection.execute(text(counted))}
    assert found == {name: len(rows[name]) for name in ("version", "journal", "op")}
    back = empty_place(tmp_path / "back")
    server_place.move_to(back)
    assert (back.rows(), back.blobs()) == (rows, data)
    with source.opened(instant()) as store, back.opened(instant()) as other:
        assert store.push("pca", b"next") == other.push("pca", b"next")


def secret(url: str) -> str:
    return url.split("@")[0].rpartition(":")[2]


@pytest.mark.slow
def test_new_rows_get_ids_numbers_and_positions_as_in_the_source(source: StorePlace, server_place: StorePlace) -> None:
    source.move_to(server_place)
    found = []
    for place in (source, server_place):
        with place.opened(instant()) as store:
            store.push("pca", b"next", valid_for=["forest@any"], labels={"k": "v"})
            store.push("new_op", b"another")
            store.register_pipeline("next", ["pca", "new_op"])
            assert store.fsck(read_data=True).clean
        rows = place.rows()
        found.append({name: rows[name] for name in rows if name != "damaged_blob"})
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_sequence_without_rows_begins_at_one(tmp_path: Path, server_place: StorePlace) -> None:
    source = StorePlace.in_folder(tmp_path / "new")
    with source.opened():
        pass
    source.move_to(server_place)
    with source.opened(instant()) as store, server_place.opened(instant()) as moved:
        assert store.push("pca", b"first") == moved.push("pca", b"first")
    assert server_place.rows()["version"] == source.rows()["version"]


@pytest.mark.slow
def test_values_at_the_limits_are_the_same(source: StorePlace, server_place: StorePlace, tmp_path: Path) -> None:
    awkward = "\x01\x1f\x7f\u0080\u200b\ufeff\ufffd\ufffe\uffff\U0001f980\U0010ffff ' \" \\ \\x00 \\N {} %s :x \r\n\t"
    with closing(Database(source.db)) as database, database.write() as connection:
        run, answer, version = (Base.metadata.tables[name] for name in ("run", "answer", "version"))
        connection.execute(
            run.update().values(
                output=bytes(range(256)) * 100, exit_code=-(2**63), duration=2**63 - 1, repeat=2**31 - 1, reason=awkward
            )
        )
        connection.execute(answer.update().values(at=2**63 - 1, body=awkward))
        connection.execute(version.update().values(message=awkward, stored_message="", note=None, executable=None))
    rows = source.rows()
    source.move_to(server_place)
    back = empty_place(tmp_path / "back")
    server_place.move_to(back)
    assert server_place.rows() == rows
    assert back.rows() == rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", few(1, ["among the rows", "before the marker", "after the last row", "before the marker goes"])
)
def test_a_crash_is_completed_in_postgresql(
    source: StorePlace, server_place: StorePlace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where, name, after = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, failing(getattr(where, name), after, Crash()))
        with pytest.raises(Crash):
            source.move_to(server_place)
    if step != "before the marker":
        with pytest.raises(errors.MigrationUnfinished) as caught, server_place.opened():
            pass
        assert secret(server_place.db) not in caught.value.advice
    source.move_to(server_place)
    assert server_place.rows() == source.rows()


@pytest.mark.slow
def test_a_connection_that_is_lost_is_reported_and_the_same_command_resumes(
    source: StorePlace, server_place: StorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = row_copy.put
    calls = iter(range(5))

    def cut(connection: Any, table: Any, rows: Any) -> None:
        if next(calls, None) is None:
            with closing(Database(server_place.db)) as other, other.read() as reading:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                reading.execute(text(f"{others} AND pid <> pg_backend_pid()"))
        put(connection, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(row_copy, "put", cut)
        with pytest.raises(errors.DatabaseFailed):
            source.move_to(server_place)
    source.move_to(server_place)
    assert server_place.rows() == source.rows()


@pytest.mark.slow
def test_a_push_to_the_source_meanwhile_is_noticed_and_moved_by_the_next_run(
    source: StorePlace, server_place: StorePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.move_to(server_place)
    back, verify = empty_place(tmp_path / "back"), RowCopy.verify

    def pushes(self: RowCopy, *args: Any) -> int:
        # The folder of the blobs is locked; a daemon with an object store could push.
        with closing(Database(server_place.db)) as database, database.write() as connection:
            counter, journal = (Base.metadata.tables[name] for name in ("counter", "journal"))
            position = connection.execute(counter.select()).one().position + 1
            connection.execute(counter.update().values(position=position))
            connection.execute(journal.insert().values(position=position, at=1, kind="tag"))
        return verify(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(RowCopy, "verify", pushes)
        with pytest.raises(errors.SourceChanged):
            server_place.move_to(back)
    moved = server_place.move_to(back)
    assert (moved.copied, moved.present) == (0, 7)
    assert back.rows() == server_place.rows()


def test_a_dry_run_leaves_nothing_in_postgresql(source: StorePlace, server_place: StorePlace) -> None:
    plan = source.plan(server_place.db, server_place.saver)
    assert (plan.resumes, plan.to_copy) == (False, 7)
    with closing(Database(server_place.db)) as database, database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar() == 0


def test_a_database_without_rights_is_refused_before_anything_is_written(
    source: StorePlace, server_place: StorePlace
) -> None:
    with closing(Database(server_place.db)) as database, database.write_schema() as connection:
        connection.execute(text("ALTER DATABASE " + server_place.db.rpartition("/")[2] + " SET search_path = none"))
    with pytest.raises(errors.DatabaseFailed):
        source.plan(server_place.db, server_place.saver)
    with pytest.raises(errors.DatabaseFailed):
        source.move_to(server_place)
    assert not any((server_place.home / "blobs" / "blobs").glob("*"))


def test_the_command_to_serve_has_the_options_of_the_url(source: StorePlace, server_place: StorePlace) -> None:
    plan = source.plan(f"{server_place.db}?prepare_threshold=none&pool_size=7", server_place.saver)
    assert "?pool_size=7&prepare_threshold=none'" in plan.serve


def test_an_option_that_is_refused_is_named_as_that_of_the_target(source: StorePlace, server_place: StorePlace) -> None:
    with pytest.raises(errors.InvalidSetting, match=r'^--to-db: invalid connection option "colour"'):
        source.plan(f"{server_place.db}?colour=red", server_place.saver)


def test_a_server_that_is_not_there_is_named_without_the_password(source: StorePlace, target: StorePlace) -> None:
    url = "postgresql+psycopg://ana:s3cret@127.0.0.1:1/opstore"
    with pytest.raises(errors.DatabaseFailed) as caught:
        source.move(url, target.saver)
    assert "s3cret" not in caught.value.text
    with pytest.raises(errors.DatabaseFailed) as caught:
        source.at(db=url).move_to(target)
    assert "s3cret" not in caught.value.text
