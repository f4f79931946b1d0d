"""A place that is not empty, or not the right one, is refused and not changed."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.home import locked
from opstore_daemon.migration.places import check_apart
from opstore_daemon.migration.target import Target
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.passwords import without_passwords
from tests.support.backups import everything_in
from tests.support.faults import Crash, dies
from tests.support.moves import StorePlace
from tests.support.schema import turn_older


def content_of(place: StorePlace) -> dict[str, bytes]:
    """Return all files but the locks, which name their holders."""
    return {name: data for name, data in everything_in(place.home).items() if not name.endswith("lock")}


def test_another_store_in_the_target_is_refused_and_not_changed(
    source: StorePlace, target: StorePlace, tmp_path: Path
) -> None:
    with target.opened() as store:
        store.push("mine", b"the only copy")
    before = content_of(target)
    new = (tmp_path / "new").as_uri()
    for to_db, to_saver in ((target.db, target.saver), (target.db, None), (None, target.saver), (target.db, new)):
        with pytest.raises(errors.TargetNotEmpty):
            source.move(to_db, to_saver)
        with pytest.raises(errors.TargetNotEmpty):
            source.plan(to_db, to_saver)
    assert content_of(target) == before
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_of_another_store_is_refused(source: StorePlace, target: StorePlace) -> None:
    with target.opened():
        pass
    before = content_of(target)
    with pytest.raises(errors.TargetNotEmpty, match="it belongs to the store"):
        source.move(None, target.saver)
    assert content_of(target) == before


def test_a_finished_migration_is_not_begun_again(source: StorePlace, target: StorePlace) -> None:
    source.move_to(target)
    with target.opened() as store:
        store.push("pca", b"pushed there")
    before = content_of(target)
    for to_db, to_saver in ((target.db, target.saver), (target.db, None), (None, target.saver)):
        with pytest.raises(errors.TargetNotEmpty, match="that one is finished"):
            source.move(to_db, to_saver)
    assert content_of(target) == before


@pytest.mark.parametrize("content", ["a file", "a blob", "a draft", "a table", "text", "another store"])
def test_other_content_is_refused_and_not_changed(source: StorePlace, target: StorePlace, content: str) -> None:
    folder, database = target.home / "blobs", target.home / "opstore.db"
    if content in ("a blob", "a draft", "another store"):
        with target.opened() as store:
            if content != "another store":
                store.push("mine", b"the only copy")
        database.unlink()
        if content == "a draft":
            (blob,) = (path for path in (folder / "blobs").rglob("*") if path.is_file())
            blob.rename(folder / "staging" / ("a" * 32))
        if content != "another store":
            (folder / "store-id").unlink()
        (target.home / "opstore.db.lock").unlink()
    elif content == "a file":
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    elif content == "a table":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE mine (id INTEGER)")
    else:
        database.write_text("not a database, but a text of mine that is long enough to look like something" * 20)
    before = content_of(target)
    with pytest.raises((errors.TargetNotEmpty, errors.DatabaseFailed)):
        source.move_to(target)
    after = content_of(target)
    assert {name: after[name] for name in before} == before
    assert source.rows()


def test_a_place_of_the_source_is_refused_by_whatever_name(source: StorePlace, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source.home)
    before = content_of(source)
    blobs, database = source.home / "blobs", source.home / "opstore.db"
    for to_db, to_saver in (
        (f"sqlite:///{link}/opstore.db", None),
        (f"sqlite:///{blobs}/new.db", None),
        (f"sqlite:///{link}/blobs/staging/new.db", None),
        (None, (link / "blobs").as_uri()),
        (None, (blobs / "inner").as_uri()),
        (None, source.home.as_uri()),
        (None, database.as_uri()),
        (None, f"file://localhost{blobs}/../blobs"),
    ):
        with pytest.raises(errors.MigrationRefused):
            source.move(to_db, to_saver)
    assert content_of(source) == before


def test_the_same_urls_are_refused(source: StorePlace) -> None:
    for to_db, to_saver in ((source.db, None), (None, source.saver), (source.db, source.saver)):
        with pytest.raises(errors.MigrationRefused, match="is a part of the store that is moved"):
            source.move(to_db, to_saver)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text(""), "is not a directory"),
        (lambda path: path.symlink_to("nowhere"), "which does not exist"),
        (lambda path: os.mkfifo(path), "is not a directory"),
    ],
)
def test_something_else_in_the_place_of_a_folder_is_refused(
    source: StorePlace, tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "there"
    make(path)
    with pytest.raises(errors.MigrationRefused, match=words):
        source.move(None, path.as_uri())


def test_a_folder_around_the_target_that_is_missing_is_refused(source: StorePlace, tmp_path: Path) -> None:
    missing = tmp_path / "not-mounted"
    for to_db, to_saver in ((f"sqlite:///{missing}/new.db", None), (None, (missing / "blobs").as_uri())):
        with pytest.raises(errors.MigrationRefused, match="not-mounted does not exist"):
            source.move(to_db, to_saver)
    assert not missing.exists()


def test_memory_and_unknown_urls_are_refused(source: StorePlace) -> None:
    for to_db, to_saver in (("sqlite:///:memory:", None), (None, "memory:"), ("mysql://h/d", None), (None, "ftp://h")):
        with pytest.raises(errors.Refused):
            source.move(to_db, to_saver)
    with pytest.raises(errors.MigrationRefused, match="nothing is to be moved"):
        source.move(None, None)


# --- the source ---


def test_a_source_in_use_is_refused(source: StorePlace, target: StorePlace) -> None:
    with source.opened(), pytest.raises(errors.StoreInUse):
        source.move_to(target)
    with locked(source.settings), pytest.raises(errors.HomeLocked) as caught:
        source.move_to(target)
    assert caught.value.advice == "opstore stop"
    assert not any(target.home.iterdir())


def test_a_place_without_a_store_is_not_found_and_not_created(tmp_path: Path, target: StorePlace) -> None:
    nothing = StorePlace.in_folder(tmp_path / "nothing")
    with pytest.raises(errors.StoreNotFound, match="there is no store to move"):
        nothing.move_to(target)
    assert not nothing.home.exists()
    assert not any(target.home.iterdir())


def test_a_database_and_blobs_of_two_stores_are_refused(source: StorePlace, target: StorePlace, tmp_path: Path) -> None:
    other = StorePlace.in_folder(tmp_path / "other")
    with other.opened() as store:
        store.push("mine", b"data")
    with pytest.raises(errors.StoreMismatch):
        source.at(saver=other.saver).move_to(target)
    assert not any(target.home.iterdir())


def test_an_older_schema_is_named_with_the_command_that_upgrades_it(source: StorePlace, target: StorePlace) -> None:
    turn_older(source.home / "opstore.db", "0011")
    with pytest.raises(errors.MigrationRefused) as caught:
        source.move_to(target)
    assert caught.value.advice == "opstore db upgrade upgrades it, after a backup"
    assert not any(target.home.iterdir())


# --- a migration that is not finished ---


@pytest.fixture
def unfinished(source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch) -> StorePlace:
    """A target to which a migration was interrupted."""
    with monkeypatch.context() as patch:
        patch.setattr(Target, "finish", dies)
        with pytest.raises(Crash):
            source.move_to(target)
    return target


def test_an_unfinished_target_of_another_store_is_refused(unfinished: StorePlace, tmp_path: Path) -> None:
    other = StorePlace.in_folder(tmp_path / "other")
    with other.opened() as store:
        store.push("mine", b"data")
    for to_db, to_saver in ((unfinished.db, unfinished.saver), (unfinished.db, None), (None, unfinished.saver)):
        with pytest.raises(errors.TargetNotEmpty):
            other.move(to_db, to_saver)


def test_blobs_go_on_to_where_they_began(source: StorePlace, unfinished: StorePlace, tmp_path: Path) -> None:
    with pytest.raises(errors.MigrationRefused, match="puts its blobs to") as caught:
        source.move(unfinished.db, (tmp_path / "elsewhere").as_uri())
    assert caught.value.advice == f"finish it: opstore migrate --to-db {unfinished.db} --to-saver {unfinished.saver}"
    with pytest.raises(errors.MigrationRefused, match="puts its blobs to"):
        source.move(unfinished.db, None)
    assert not any((tmp_path / "elsewhere" / "blobs").glob("*/*"))
    source.move_to(unfinished)
    assert unfinished.rows() == source.rows()


def test_an_unfinished_target_is_no_source(unfinished: StorePlace, tmp_path: Path) -> None:
    (tmp_path / "third").mkdir()
    with pytest.raises(errors.MigrationUnfinished):
        unfinished.move_to(StorePlace.in_folder(tmp_path / "third"))


# --- a dry run ---


def test_a_dry_run_says_what_would_be_moved_and_changes_nothing(source: StorePlace, target: StorePlace) -> None:
    plan = source.plan(target.db, target.saver)
    assert (plan.to_copy, plan.to_copy_size, plan.blobs, plan.resumes) == (7, plan.blobs_size, 7, False)
    assert plan.rows == sum(map(len, source.rows().values()))
    assert not any(target.home.iterdir())
    moved = source.move_to(target)
    assert (moved.copied, moved.rows) == (plan.to_copy, plan.rows)


def test_a_dry_run_of_an_unfinished_migration_says_what_is_left(source: StorePlace, unfinished: StorePlace) -> None:
    before = content_of(unfinished)
    plan = source.plan(unfinished.db, unfinished.saver)
    assert (plan.resumes, plan.to_copy) == (True, 0)
    assert content_of(unfinished) == before


# --- passwords ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://ana:s3cret@db:5432/x", "postgresql+psycopg://ana:***@db:5432/x"),
        ("postgresql://ana:a/b:c@db/x?sslmode=require", "postgresql://ana:***@db/x?sslmode=require"),
        ("postgresql://db/x?user=ana&password=s3cret&a=b", "postgresql://db/x?user=ana&password=***&a=b"),
        ("--to-db=postgresql://ana:p@h/d --to-saver s3://b/p", "--to-db=postgresql://ana:***@h/d --to-saver s3://b/p"),
        ("postgresql://ana@db/x sqlite:////srv/a@b.db", "postgresql://ana@db/x sqlite:////srv/a@b.db"),
    ],
)
def test_a_password_is_never_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_the_same_folder_through_another_name_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(errors.MigrationRefused, match="is a part of the store"):
        check_apart(tmp_path / "b", [tmp_path / "a"])
