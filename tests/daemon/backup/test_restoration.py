"""A restored store is the one that was backed up, or there is none."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from opstore_daemon.backup import home as home_module
from opstore_daemon.backup import manifest, restoration
from opstore_daemon.protocol import errors, restore_marker
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.store import Store
from tests.support import daemon
from tests.support.backups import Home, blob_in, everything_in
from tests.support.faults import Crash
from tests.support.figures import few


def test_a_restored_store_is_the_one_that_was_backed_up(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    restored = empty.restore(folder)
    assert (restored.home, restored.position, restored.clone_of) == (str(empty.path), 6, None)
    assert empty.contents() == home.contents()
    with home.opened() as store, empty.opened() as other:
        assert store.database.store_id() == other.database.store_id() == restored.store_id
        for position in range(1, 7):
            for reference in ("pca@1.0.0", "pca@1.0.1", "forest@1.0.0"):
                assert as_of(store, reference, position) == as_of(other, reference, position)
        # Numbers, sequences and positions go on.
        assert store.push("pca", b"next").version == other.push("pca", b"next").version == "1.0.2"
        assert (store.log(limit=1)[0].position, other.log(limit=1)[0].position) == (7, 7)


def as_of(store: Store, reference: str, position: int) -> object:
    try:
        return store.show(reference, as_of=str(position))
    except errors.NotFound as error:
        return error.text


def test_a_restored_store_is_clean_for_fsck(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    empty.restore(folder)
    with empty.opened() as store:
        report = store.fsck(read_data=True)
    assert (report.clean, report.findings) == (True, ())


def test_removed_versions_are_restored_as_such_without_their_bytes(home: Home, folder: Path, empty: Home) -> None:
    with home.opened() as store:
        store.remove(["pca@1.0.1"])
        store.collect_garbage(grace=0, purge=True)
    made = home.back_up(folder)
    assert (made.versions, made.blobs) == (2, 2)
    empty.restore(folder)
    assert empty.contents() == home.contents()
    with empty.opened() as store:
        assert store.push("pca", b"two").version == "1.0.2"
        with pytest.raises(errors.VersionRemoved):
            store.show("pca@1.0.1")


def test_a_partial_restore_marks_what_it_lacks_and_no_other_mark_stays(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    home.blob(digest_of(b"two")).unlink()
    with home.opened() as store:
        assert not store.fsck(repair=True).clean
    home.back_up(folder)  # it has the bytes of the first backup
    blob(folder, b"one").unlink()
    empty.restore(folder, partial=True)
    with empty.opened() as store:
        assert store.show("pca@1.0.0").damaged == "it is missing (in the backup)"
        assert not store.show("pca@1.0.1").damaged
        assert store.pull("pca@1.0.1") == b"two"


def test_a_session_of_the_page_does_not_come_back_with_a_backup(home: Home, folder: Path, empty: Home) -> None:
    """It may have ended since, and the one who has it would have it again."""
    with home.opened() as store:
        secret = store.page_sessions.start(store.page_sessions.invite("owner")) or ""
    home.back_up(folder)
    empty.restore(folder)
    with home.opened() as store, empty.opened() as restored:
        assert store.page_sessions.owner(secret) == "owner"
        assert restored.page_sessions.owner(secret) is None
    assert empty.contents() == home.contents()


def test_only_the_owner_can_read_a_restored_home(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    empty.restore(folder)
    for path in empty.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_restored_home_has_the_files_of_a_home_and_no_others(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    empty.restore(folder)
    locks = {"daemon.lock"}
    assert set(empty.files()) - locks == set(home.files()) - locks


def test_a_clone_has_an_id_of_its_own(home: Home, folder: Path, empty: Home) -> None:
    made = home.back_up(folder)
    clone = empty.restore(folder, clone=True)
    assert clone.clone_of == made.store_id != clone.store_id
    with empty.opened() as store:
        assert store.database.store_id() == clone.store_id
        assert store.pull("forest") == b"three"
    assert empty.contents() == home.contents()
    with pytest.raises(errors.BackupOfOtherStore):
        empty.back_up(folder)


def test_an_empty_store_is_replaced(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    with empty.opened():
        pass  # as the first command on a new machine does
    empty.restore(folder)
    assert empty.contents() == home.contents()


@pytest.mark.parametrize(
    "content", few(2, ["a store", "an op", "a lost database", "blobs", "a foreign database", "a WAL"])
)
def test_a_home_with_content_is_refused_and_not_changed(home: Home, folder: Path, empty: Home, content: str) -> None:
    home.back_up(folder)
    empty.push(b"mine")
    database = empty.path / "opstore.db"
    if content == "an op":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("UPDATE counter SET position = 0")
            connection.commit()
    elif content == "a lost database":
        database.unlink()
    elif content == "blobs":
        for path in (database, empty.path / "blobs" / "store-id"):
            path.unlink()
    elif content == "a foreign database":
        database.write_bytes(b"not a database")
    elif content == "a WAL":
        database.rename(empty.path / "opstore.db-wal")
    before = empty.files()
    with pytest.raises(errors.HomeNotEmpty):
        empty.restore(folder)
    assert empty.files() == before


def test_a_home_that_is_in_use_is_refused(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    with empty.opened(), pytest.raises(errors.StoreInUse):
        empty.restore(folder)


def test_two_restores_into_one_home_exclude_each_other(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    refused: list[bool] = []

    def again(_line: object) -> None:
        if not refused:
            with pytest.raises(errors.BackupInUse):
                restoration.restore(empty.settings(), folder, lambda _: None)
            refused.append(True)

    restoration.restore(empty.settings(), folder, again)
    assert refused
    assert empty.contents() == home.contents()


def test_a_restore_into_memory_or_the_backup_itself_is_refused(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    for urls in ({"db": "sqlite:///:memory:"}, {"saver": "memory:"}):
        with pytest.raises(errors.BackupRefused, match="into memory"):
            restoration.restore(empty.settings(**urls), folder, lambda _: None)
    with pytest.raises(errors.BackupRefused, match="contains"):
        Home(folder / "home").restore(folder)
    assert everything_in(folder) == before


# --- a backup that is not whole -------------------------------------------------------------------------------------


def blob(folder: Path, data: bytes = b"two") -> Path:
    """Return the copy of a blob."""
    return blob_in(folder, digest_of(data))


def database(folder: Path) -> Path:
    """Return the copy of the database."""
    return next(folder.glob("opstore-*.db"))


def swap(folder: Path) -> None:
    """Swap two blobs of the same size."""
    blob(folder).write_bytes(b"one")
    blob(folder, b"one").write_bytes(b"two")


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Make something else in the place of the file."""
    path.unlink()
    make(path)


def flip(path: Path) -> None:
    """Flip a bit in the middle of the file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(path: Path) -> None:
    """Change a number in the manifest."""
    data = path.read_bytes()
    assert data.count(b'"versions": 3') == 1
    path.write_bytes(data.replace(b'"versions": 3', b'"versions": 2'))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of a blob": lambda folder: flip(blob(folder)),
    "a short blob": lambda folder: blob(folder).write_bytes(b"tw"),
    "an empty blob": lambda folder: blob(folder).write_bytes(b""),
    "no blob": lambda folder: blob(folder).unlink(),
    "swapped blobs": swap,
    "a folder": lambda folder: replace(blob(folder), Path.mkdir),
    "a link": lambda folder: replace(blob(folder), lambda path: path.symlink_to(blob(folder, b"one"))),
    "a bit of the database": lambda folder: flip(database(folder)),
    "a short database": lambda folder: os.truncate(database(folder), 4096),
    "no database": lambda folder: database(folder).unlink(),
    "a bit of the manifest": lambda folder: flip(folder / "manifest.json"),
    "an edited manifest": lambda folder: edit(folder / "manifest.json"),
    "half a manifest": lambda folder: os.truncate(folder / "manifest.json", 100),
    "a foreign manifest": lambda folder: (folder / "manifest.json").write_text('{"name": "an extension"}'),
}
BLOBS = list(DAMAGE)[:7]
OTHERS = list(DAMAGE)[7:]


@pytest.mark.parametrize("how", few(4, [*BLOBS, *OTHERS]))
def test_a_damaged_backup_is_refused_before_anything_is_visible(
    home: Home, folder: Path, empty: Home, how: str
) -> None:
    home.back_up(folder)
    DAMAGE[how](folder)
    with pytest.raises(errors.BackupDamaged):
        empty.restore(folder)
    assert not (empty.path / "opstore.db").exists()
    if how in OTHERS:
        assert not empty.path.exists()
        with pytest.raises(errors.BackupDamaged):
            home.check(folder)
        with pytest.raises(errors.BackupDamaged):
            empty.restore(folder, partial=True)
        return
    damaged = {digest_of(b"two"), *([digest_of(b"one")] if how == "swapped blobs" else [])}
    assert {each.digest for each in empty.problems} == damaged
    checked = home.check(folder)
    assert ({each.digest for each in checked.problems}, checked.intact) == (damaged, False)


def test_a_missing_blob_is_noticed_before_anything_is_restored(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    blob(folder).unlink()
    with pytest.raises(errors.BackupDamaged):
        empty.restore(folder)
    assert not empty.path.exists()


def test_a_database_that_changes_during_a_restore_is_refused(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    with pytest.raises(errors.BackupDamaged, match="another SHA-256"):
        restoration.restore(empty.settings(), folder, lambda line: flip_once(folder))
    assert not (empty.path / "opstore.db").exists()


def flip_once(folder: Path) -> None:
    """Flip a bit of the database, unless that was done."""
    if not (folder / "flipped").exists():
        (folder / "flipped").touch()
        flip(database(folder))


@pytest.mark.parametrize("how", few(2, BLOBS))
def test_a_partial_restore_has_what_is_intact_and_names_what_is_not(
    home: Home, folder: Path, empty: Home, how: str
) -> None:
    home.back_up(folder)
    DAMAGE[how](folder)
    restored = empty.restore(folder, partial=True)
    assert restored.missing == tuple(empty.problems)
    assert digest_of(b"two") in {each.digest for each in restored.missing}
    with empty.opened() as store:
        assert store.pull("forest") == b"three"
        for each in restored.missing:
            with pytest.raises((errors.BlobNotFound, errors.BlobDamaged)):
                store.pull(each.versions[0])
        store.push("other", b"two")  # the same bytes heal
        assert store.pull("pca@1.0.1") == b"two"


def test_a_manifest_of_a_newer_format_names_the_release_that_reads_it(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    (folder / "manifest.json").write_text('{"format": 2, "sha256": "", "backup": null, "release": "9.1"}')
    before = everything_in(folder)
    with pytest.raises(errors.BackupTooNew) as caught:
        empty.restore(folder)
    assert "9.1" in caught.value.advice
    with pytest.raises(errors.BackupTooNew):
        home.back_up(folder)
    assert everything_in(folder) == before


def test_a_manifest_names_nothing_outside_of_its_folder(home: Home, folder: Path, empty: Home) -> None:
    made = home.back_up(folder)
    found = manifest.read(folder, "")
    assert found is not None
    shutil.copyfile(folder / made.database, folder.parent / made.database)
    outside = msgspec.structs.replace(found.database, name=f"../{made.database}")
    (folder / "manifest.json").write_bytes(manifest.encode(msgspec.structs.replace(found, database=outside)))
    with pytest.raises(errors.BackupDamaged):
        empty.restore(folder)


@pytest.mark.parametrize("made", ["nothing", "an empty folder", "a file", "an interrupted backup"])
def test_a_folder_without_a_backup_is_not_found(home: Home, folder: Path, empty: Home, made: str) -> None:
    if made == "a file":
        folder.write_text("")
    elif made == "an empty folder":
        folder.mkdir()
    elif made == "an interrupted backup":
        home.back_up(folder)
        (folder / "manifest.json").unlink()
    for use in (empty.restore, home.check):
        with pytest.raises(errors.BackupNotFound):
            use(folder)
    assert not empty.path.exists()


# --- a restore that was interrupted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["the first blob", "the database", "the marker"])
def test_an_interrupted_restore_keeps_daemons_away_until_the_same_command_completes_it(
    home: Home, folder: Path, empty: Home, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    home.back_up(folder)

    def dies(*_args: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        if at == "the first blob":
            patch.setattr(restoration, "_restore_blob", dies)
        elif at == "the database":
            patch.setattr(home_module.RestoredHome, "place_database", dies)
        else:
            patch.setattr(home_module.RestoredHome, "unmark", dies)
        with pytest.raises(Crash):
            empty.restore(folder)
    with pytest.raises(errors.RestoreUnfinished) as caught:
        empty.back_up(folder.with_name("other"))
    assert caught.value.advice == f"finish it: opstore restore {folder}"
    empty.restore(folder)
    assert restore_marker.read(empty.path) is None
    assert empty.contents() == home.contents()
    assert not list((empty.path / "blobs" / "staging").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("words", few(1, [["serve"], ["db", "current"], ["db", "upgrade"], ["backup", "elsewhere"]]))
def test_nothing_uses_a_home_whose_restore_is_not_finished(empty: Home, words: list[str]) -> None:
    empty.path.mkdir()
    marker = restore_marker.marker_of(Path("my backup"), ("--clone",))
    (empty.path / restore_marker.MARKER).write_bytes(msgspec.json.encode(marker))
    done = daemon.run(empty.path, *words)
    assert (done.returncode, done.stdout) == (9, "")
    assert done.stderr.endswith(
        f"error: the restore of my backup into {empty.path} is not finished\n"
        "hint: finish it: opstore restore --clone 'my backup'\n"
    )


def test_a_blob_that_an_interrupted_restore_left_is_verified(home: Home, folder: Path, empty: Home) -> None:
    home.back_up(folder)
    DAMAGE["a bit of a blob"](folder)
    with pytest.raises(errors.BackupDamaged):
        empty.restore(folder)
    left = empty.blob(digest_of(b"one"))
    left.chmod(0o600)
    left.write_bytes(b"oni")
    blob_in(folder, digest_of(b"two")).write_bytes(b"two")
    empty.restore(folder)
    assert empty.contents() == home.contents()


@pytest.mark.parametrize("where", ["the database", "the blobs"])
def test_an_interrupted_restore_gives_no_right_to_replace_what_is_elsewhere(
    home: Home, folder: Path, empty: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home.back_up(folder)
    other = Home(tmp_path / "other")
    other.push(b"the only copy")
    before = other.files()

    def dies(*_args: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(home_module.RestoredHome, "place_database", dies)
        with pytest.raises(Crash):
            empty.restore(folder)
    if where == "the database":
        settings = empty.settings(db=f"sqlite:///{other.path}/opstore.db")
    else:
        settings = empty.settings(saver=f"file://{other.path}/blobs")
    with pytest.raises(errors.HomeNotEmpty):
        restoration.restore(settings, folder, lambda _: None)
    assert other.files() == before
    empty.restore(folder)
    assert empty.contents() == home.contents()


def test_a_marker_that_cannot_be_read_counts(empty: Home) -> None:
    empty.path.mkdir()
    (empty.path / restore_marker.MARKER).write_bytes(b"\xff{")
    with pytest.raises(errors.RestoreUnfinished):
        restore_marker.check(empty.path)
