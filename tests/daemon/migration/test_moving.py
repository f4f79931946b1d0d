"""A store that was moved is the one that it was: every row, every byte, and what comes next."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.metadata import Database, row_copy
from opstore_daemon.metadata.tables import Base
from opstore_daemon.migration import blobs
from opstore_daemon.migration.rows import RowCopy
from opstore_daemon.migration.target import Target
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from tests.support.backups import everything_in
from tests.support.figures import few
from tests.support.moves import StorePlace, instant

REMOVED = digest_of(b"removed bytes")  # whose blob waits for a collection


def needed(place: StorePlace) -> dict[str, bytes]:
    """Return the blobs that versions need."""
    return {digest: data for digest, data in place.blobs().items() if digest != REMOVED}


def empty_place(folder: Path) -> StorePlace:
    folder.mkdir()
    return StorePlace.in_folder(folder)


def blob_of(place: StorePlace, data: bytes) -> Path:
    """Return the file of a blob."""
    name = hashlib.sha256(data).hexdigest()
    return place.home / "blobs" / "blobs" / name[:2] / name


def test_every_row_and_every_byte_is_the_same_there_and_back(
    source: StorePlace, target: StorePlace, tmp_path: Path
) -> None:
    rows, data = source.rows(), needed(source)
    moved = source.move_to(target, checksum=True)
    assert (target.rows(), target.blobs()) == (rows, data)
    assert (moved.rows, moved.copied, moved.read_back) == (sum(map(len, rows.values())), len(data), len(data))
    back = empty_place(tmp_path / "back")
    target.move_to(back)
    assert (back.rows(), back.blobs()) == (rows, data)


def test_what_comes_next_has_the_same_numbers_in_both_places(source: StorePlace, target: StorePlace) -> None:
    source.move_to(target)
    pushed = []
    for place in (source, target):
        with place.opened(instant()) as store:
            store.push("pca", b"next", valid_for=["forest@any"], labels={"k": "v"})
            store.push("new_op", b"another")
            store.register_pipeline("next", ["pca", "new_op"])
            assert store.fsck(read_data=True).clean
        found = place.rows()
        pushed.append({name: rows for name, rows in found.items() if name != "damaged_blob"})
    assert pushed[0] == pushed[1]


def test_the_source_is_not_changed(source: StorePlace, target: StorePlace) -> None:
    def files() -> dict[str, bytes]:
        locks = ("lock", "opstore.db.lock", "daemon.lock")
        return {name: data for name, data in everything_in(source.home).items() if not name.endswith(locks)}

    before = files()
    source.move_to(target)
    assert files() == before


def test_the_database_alone_moves_and_the_blobs_stay(source: StorePlace, target: StorePlace) -> None:
    rows, data = source.rows(of_saver=True), source.blobs()
    moved = source.move(target.db, None)
    new = source.at(db=target.db)
    # Unfinished uploads too: their bytes are in the saver, which is the same one.
    assert (new.rows(of_saver=True), new.blobs()) == (rows, data)
    assert (moved.copied, moved.uploads, moved.saver) == (0, 0, source.saver)
    assert rows["upload"]
    with new.opened() as store:
        assert store.pull("pca@1.0.0") == b"pca one"


def test_the_blobs_alone_move_and_the_database_is_not_changed(source: StorePlace, target: StorePlace) -> None:
    rows, data, database = source.rows(of_saver=True), needed(source), (source.home / "opstore.db").read_bytes()
    moved = source.move(None, target.saver)
    new = source.at(saver=target.saver)
    assert (source.home / "opstore.db").read_bytes() == database
    assert (new.rows(of_saver=True), new.blobs()) == (rows, data)
    assert (moved.rows, moved.db, moved.uploads) == (0, source.db, len(rows["upload"]))
    for place in (new, source):
        with place.opened() as store:
            assert store.pull("pca@1.0.0") == b"pca one"


def test_an_empty_store_moves(tmp_path: Path, target: StorePlace) -> None:
    source = StorePlace.in_folder(tmp_path / "new")
    with source.opened():
        pass
    source.move_to(target)
    assert target.rows() == source.rows()
    with source.opened(instant()) as store, target.opened(instant()) as moved:
        assert store.push("pca", b"first").version == moved.push("pca", b"first").version == "1.0.0"


# --- bytes that are not whole ---


@pytest.mark.parametrize("how", few(1, ["damaged", "missing", "short", "a folder"]))
def test_a_blob_that_is_not_whole_is_named_and_everything_else_moves(
    source: StorePlace, target: StorePlace, how: str
) -> None:
    blob = blob_of(source, b"pca two")
    blob.chmod(0o600)
    if how in ("missing", "a folder"):
        blob.unlink()
    if how == "a folder":
        blob.mkdir()
    elif how != "missing":
        blob.write_bytes({"damaged": b"pca tvo", "short": b"pca"}[how])
    moved = source.move_to(target)
    (problem,) = moved.missing
    assert (problem.digest, problem.versions) == (digest_of(b"pca two"), ("pca@1.1.0",))
    assert source.problems == [problem]
    assert target.rows() == source.rows()
    assert digest_of(b"pca two") not in target.blobs()
    with target.opened() as store:
        with pytest.raises(errors.BlobDamaged):
            store.pull("pca@1.1.0")
        store.push("again", b"pca two")
        assert store.pull("pca@1.1.0") == b"pca two"


def test_a_saver_that_loses_its_folder_is_no_store_of_missing_blobs(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source.home / "blobs").rename(source.home / "moved")
    with pytest.raises(errors.BlobsLost):
        source.move_to(target)
    (source.home / "moved").rename(source.home / "blobs")
    real, taken = source.home / "blobs" / "blobs", source.home / "taken"

    def unmounts() -> None:
        (source.home / "blobs").rename(taken)
        (source.home / "blobs").mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "put_blob", unmounts_once(blobs.put_blob, unmounts))
        with pytest.raises(errors.StorageFailed, match="not what it was at the beginning"):
            source.move_to(target)
    assert not real.exists()
    (source.home / "blobs").rmdir()
    taken.rename(source.home / "blobs")
    source.move_to(target)
    assert target.rows() == source.rows()


def unmounts_once(put: Callable[..., None], unmounts: Callable[[], None]) -> Callable[..., None]:
    """Return `put`, which calls `unmounts` once."""
    done: list[bool] = []

    def wrapped(*args: object) -> None:
        if not done:
            done.append(True)
            unmounts()
        put(*args)

    return wrapped


# --- verification ---


def test_bytes_that_were_damaged_in_the_target_are_found_and_copied_again(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Target, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            source.move_to(target)
    left = blob_of(target, b"forest one")
    left.chmod(0o600)
    left.write_bytes(b"forest onE")
    with pytest.raises(errors.MigrationDiffers, match="has other bytes"):
        source.move_to(target)
    moved = source.move_to(target, checksum=True)
    assert (moved.copied, moved.present) == (1, 6)
    assert target.blobs() == needed(source)


def interrupted(*_args: object) -> None:
    raise KeyboardInterrupt


COLUMNS = ["version.message", "label.value", "yank.reason", "run.output", "answer.at", "page_code.session", "op.compat"]


@pytest.mark.parametrize("where", few(1, COLUMNS))
def test_a_row_that_differs_is_found(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    put, (table, column) = row_copy.put, where.split(".")

    def changes(connection, into, rows):  # type: ignore[no-untyped-def]
        if into.name == table:
            rows = [{**rows[0], column: other(rows[0][column])}, *rows[1:]]
        put(connection, into, rows)

    with monkeypatch.context() as patch:
        patch.setattr(row_copy, "put", changes)
        with pytest.raises(errors.MigrationDiffers, match=f"the table {table} has"):
            source.move_to(target)
    with pytest.raises(errors.MigrationUnfinished), target.opened():
        pass
    source.move_to(target)
    assert target.rows() == source.rows()


def other(value: object) -> object:
    """Return another value of the same type."""
    if value == "minor":
        return "major"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return value + b"x"
    return "x" if value is None else f"{value}x"


def test_a_commit_during_the_migration_is_noticed_and_moved_by_the_next_run(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = RowCopy.verify

    def writes(self: RowCopy, *args: object) -> int:
        found = verify(self, *args)  # type: ignore[arg-type]
        with closing(Database(source.db)) as database, database.write() as connection:
            counter, journal = (Base.metadata.tables[name] for name in ("counter", "journal"))
            position = connection.execute(counter.select()).one().position + 1
            connection.execute(counter.update().values(position=position))
            connection.execute(journal.insert().values(position=position, at=1, kind="tag"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(RowCopy, "verify", writes)
        with pytest.raises(errors.SourceChanged) as caught:
            source.move_to(target)
    before, after = caught.value.details["before"], caught.value.details["after"]
    assert after == before + 1
    moved = source.move_to(target)
    assert (moved.position, moved.copied, moved.present) == (after, 0, 7)
    assert target.rows() == source.rows()
