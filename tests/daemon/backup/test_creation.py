"""A backup is whole or not there, beside whoever uses the store."""

import errno
import fcntl
import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon.backup import database_copy, files
from opstore_daemon.backup.creation import back_up
from opstore_daemon.backup.home import RestoredHome
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import FileSaver
from tests.support import daemon, faults, small_disk
from tests.support.backups import Home, blob_in, everything_in, manifest_of
from tests.support.figures import few
from tests.support.schema import create_older


def test_a_backup_has_the_database_and_its_blobs_and_says_so(home: Home, folder: Path) -> None:
    made = home.back_up(folder)
    assert (made.position, made.ops, made.versions, made.stored) == (6, 2, 3, 3)
    assert (made.blobs, made.blobs_size, made.copied, made.present, made.missing) == (3, 11, 3, 0, ())
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", "SHA256SUMS", "opstore-backup.txt", "backup.lock", "blobs", made.database
    }  # fmt: skip
    for data in (b"one", b"two", b"three"):
        assert blob_in(folder, digest_of(data)).read_bytes() == data
    assert (
        hashlib.sha256((folder / made.database).read_bytes()).hexdigest() == manifest_of(folder)["database"]["sha256"]
    )


def test_sha256sum_verifies_a_backup(home: Home, folder: Path) -> None:
    home.back_up(folder)
    command = ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 0
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 4
    blob_in(folder, digest_of(b"two")).write_bytes(b"twa")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1


def test_only_the_owner_can_read_a_backup(home: Home, folder: Path) -> None:
    home.back_up(folder)
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_next_backup_copies_what_is_new(home: Home, folder: Path) -> None:
    first = home.back_up(folder)
    before = blob_in(folder, digest_of(b"one")).stat()
    home.push(b"four", b"one")
    second = home.back_up(folder)
    assert (second.copied, second.copied_size, second.present, second.present_size) == (1, 4, 3, 11)
    assert second.position > first.position
    assert blob_in(folder, digest_of(b"one")).stat() == before
    assert [path.name for path in folder.glob("opstore-*.db")] == [second.database]


def test_a_backup_changes_nothing_in_the_home(home: Home, folder: Path) -> None:
    before = home.files()
    home.back_up(folder)
    assert home.files() == before


def test_a_backup_beside_an_open_server_has_its_commits_and_stops_none(home: Home, folder: Path, empty: Home) -> None:
    with home.opened() as store:
        store.push("pca", b"just committed")
        home.back_up(folder)
        store.push("pca", b"after the backup")
    empty.restore(folder)
    with empty.opened() as store:
        assert store.pull("pca") == b"just committed"


def test_pushes_during_the_copy_of_the_database_do_not_enter_it(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_copy, "PAGES", 1)
    with home.opened() as store:
        pushed = 0

        def push_more(line: object) -> None:
            nonlocal pushed
            if pushed < 20:
                pushed += 1
                store.push("pca", f"meanwhile {pushed}".encode())

        made = back_up(home.settings(), folder, push_more)
    assert (pushed, made.versions, made.position) == (20, 3, 6)
    assert home.check(folder).intact


def test_collection_is_held_while_blobs_are_copied(home: Home, folder: Path) -> None:
    saver, held = FileSaver(home.path / "blobs"), []

    def try_to_collect(_line: object) -> None:
        try:
            with saver.collection_lock.exclusive():
                held.append(False)
        except errors.CollectionHeld:
            held.append(True)

    back_up(home.settings(), folder, try_to_collect)
    assert len(held) >= 4
    assert all(held)
    with saver.collection_lock.exclusive():
        pass


def test_prune_deletes_the_blobs_that_only_earlier_backups_needed(home: Home, folder: Path) -> None:
    home.back_up(folder)
    stray = folder / "blobs" / "ab" / ("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of an earlier backup")
    assert home.back_up(folder).pruned == 0
    assert stray.exists()
    pruned = home.back_up(folder, prune=True)
    assert (pruned.pruned, pruned.pruned_size) == (1, 20)
    assert not stray.exists()
    assert home.check(folder).intact


def test_a_backup_of_a_store_without_bytes(tmp_path: Path, folder: Path, empty: Home) -> None:
    home = Home(tmp_path / "home")
    with home.opened() as store:
        store.register("pca", fields={"major": {"columns": "a,b"}})
    made = home.back_up(folder)
    assert (made.versions, made.stored, made.blobs) == (1, 0, 0)
    empty.restore(folder)
    assert empty.contents() == home.contents()


# --- what the store lacks -------------------------------------------------------------------------------------------


def damage(path: Path, how: str, tmp_path: Path) -> str:
    """Damage a blob of 3 bytes, and return what is reported."""
    data = path.read_bytes()
    path.unlink()
    if how == "a bit":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        return "is damaged: its bytes have another SHA-256"
    if how == "short":
        path.write_bytes(data[:2])
        return "has 2 bytes instead of 3"
    if how == "empty":
        path.write_bytes(b"")
        return "has 0 bytes instead of 3"
    if how == "a folder":
        path.mkdir()
        return "can't be read: Not a regular file while opening a blob"
    if how == "a link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
        return "can't be read: Too many levels of symbolic links while opening a blob"
    return "is missing"


@pytest.mark.parametrize("how", ["a bit", "short", "empty", "gone", "a folder", "a link"])
def test_a_damaged_blob_is_listed_and_everything_else_is_backed_up(
    home: Home, folder: Path, tmp_path: Path, how: str
) -> None:
    words = damage(home.blob(digest_of(b"two")), how, tmp_path)
    made = home.back_up(folder)
    (problem,) = made.missing
    assert (problem.digest, problem.problem, problem.versions) == (digest_of(b"two"), words, ("pca@1.0.1",))
    assert home.problems == [problem]
    assert (made.copied, manifest_of(folder)["missing"]) == (2, [{"digest": problem.digest, "problem": words}])
    assert not blob_in(folder, digest_of(b"two")).exists()
    assert not list(folder.rglob("*.part"))


def test_an_intact_copy_of_an_earlier_backup_makes_up_for_damage_in_the_store(home: Home, folder: Path) -> None:
    home.back_up(folder)
    home.blob(digest_of(b"two")).unlink()
    assert home.back_up(folder).missing == ()
    assert home.check(folder).intact


def test_a_read_that_fails_for_want_of_resources_is_no_damage(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_saver: FileSaver, _digest: object) -> None:
        error = errors.StorageFailed(reason="Too many open files while opening a blob")
        raise error from OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(FileSaver, "open", fails)
    with pytest.raises(errors.StorageFailed):
        home.back_up(folder)
    assert not (folder / "manifest.json").exists()


# --- the folder -----------------------------------------------------------------------------------------------------


def test_checksum_replaces_damaged_copies_of_the_right_size(home: Home, folder: Path) -> None:
    home.back_up(folder)
    copy = blob_in(folder, digest_of(b"two"))
    copy.write_bytes(b"twa")
    assert home.back_up(folder).present == 3
    assert [each.digest for each in home.check(folder).problems] == [digest_of(b"two")]
    made = home.back_up(folder, checksum=True)
    assert (made.copied, made.present) == (1, 2)
    assert home.check(folder).intact


def test_the_folder_of_another_store_is_refused(home: Home, folder: Path, tmp_path: Path) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    other = Home(tmp_path / "other")
    other.push(b"1")
    with pytest.raises(errors.BackupOfOtherStore):
        other.back_up(folder)
    (folder / "manifest.json").unlink()  # as if the first backup had been interrupted
    del before["manifest.json"]
    with pytest.raises(errors.BackupOfOtherStore):
        other.back_up(folder)
    assert everything_in(folder) == before


@pytest.mark.parametrize(
    ("pushed_since", "reason"),
    [
        ((), "it ends at position 8 of the journal, and the store at 6"),
        ((b"another five", b"another six"), "position 8 of the journal, where it ends, is another entry in the store"),
    ],
)
def test_a_store_does_not_replace_the_backup_of_a_later_or_another_state(
    home: Home, folder: Path, tmp_path: Path, empty: Home, pushed_since: tuple[bytes, ...], reason: str
) -> None:
    home.back_up(tmp_path / "older")
    home.push(b"five", b"six")
    home.back_up(folder)
    before = everything_in(folder)
    empty.restore(tmp_path / "older")
    if pushed_since:
        empty.push(*pushed_since)
    with pytest.raises(errors.BackupDiverged, match=reason):
        empty.back_up(folder, prune=True)
    assert everything_in(folder) == before
    assert empty.back_up(tmp_path / "older", prune=True).missing == (), "it goes on from this one"
    assert home.back_up(folder).missing == ()


@pytest.mark.parametrize("damaged", ["manifest", "database", "no database"])
def test_a_backup_that_can_not_be_read_is_replaced(home: Home, folder: Path, damaged: str) -> None:
    made = home.back_up(folder)
    path = folder / ("manifest.json" if damaged == "manifest" else made.database)
    if damaged == "no database":
        path.unlink()
    else:
        path.write_bytes(b"damaged")
    home.push(b"five")
    home.back_up(folder)
    assert home.check(folder).intact


@pytest.mark.parametrize("damaged", ["missing", "damaged"])
@pytest.mark.parametrize("goes_on", few(1, [False, True]))
def test_a_later_backup_whose_manifest_is_lost_is_not_replaced(
    home: Home, folder: Path, empty: Home, *, goes_on: bool, damaged: str
) -> None:
    first, manifest = folder.with_name("first"), folder / "manifest.json"
    home.back_up(first)
    home.push(b"the only copy")
    home.back_up(folder)
    manifest.unlink() if damaged == "missing" else manifest.write_bytes(b"{" + manifest.read_bytes())
    empty.restore(first)
    if goes_on:
        empty.push(b"another", b"and another")
    before = everything_in(folder)
    with pytest.raises(errors.BackupDiverged):
        empty.back_up(folder, prune=True)
    assert everything_in(folder) == before
    home.back_up(folder)
    assert home.check(folder).intact


def test_a_folder_with_other_files_is_refused(home: Home, folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(errors.BackupRefused, match=r"is not a backup, and has other files: thesis\.tex"):
        home.back_up(folder)
    assert everything_in(folder) == {"thesis.tex": b"mine"}


def test_a_new_disk_is_an_empty_folder(home: Home, folder: Path) -> None:
    (folder / "lost+found").mkdir(parents=True)
    (folder / ".DS_Store").write_text("")
    home.back_up(folder)


@pytest.mark.parametrize("place", ["home/backup", "home", ".", "home/blobs/backup"])
def test_a_folder_in_the_home_or_around_it_is_refused(home: Home, tmp_path: Path, place: str) -> None:
    before = home.files()
    with pytest.raises(errors.BackupRefused, match=r"is inside of|contains"):
        home.back_up(tmp_path / place)
    (tmp_path / "link").symlink_to(home.path)
    with pytest.raises(errors.BackupRefused, match="is inside of"):
        home.back_up(tmp_path / "link" / "backup")
    assert home.files() == before


def test_a_link_to_a_folder_is_followed_and_one_to_nothing_is_not(home: Home, folder: Path, tmp_path: Path) -> None:
    disk, link = tmp_path / "disk", tmp_path / "link"
    link.symlink_to(disk)
    with pytest.raises(errors.BackupRefused, match=r"is a symbolic link to .*, which does not exist"):
        home.back_up(link)
    disk.mkdir()
    assert home.back_up(link).folder == str(disk)


def test_a_missing_parent_is_refused_as_that_of_a_disk_that_is_not_mounted(home: Home, tmp_path: Path) -> None:
    with pytest.raises(errors.BackupRefused, match=r"directory .*disk does not exist"):
        home.back_up(tmp_path / "disk" / "backup")
    assert not (tmp_path / "disk").exists()


def test_a_file_is_no_folder(home: Home, folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(errors.BackupRefused, match="is not a directory"):
        home.back_up(folder)


@pytest.mark.parametrize("name", few(1, ["-x", "a b?c#d%20", "ü\n", os.fsdecode(b"\xff")]))
def test_a_folder_may_have_any_name(home: Home, empty: Home, tmp_path: Path, name: str) -> None:
    home.back_up(tmp_path / name)
    home.push(b"four")
    home.back_up(tmp_path / name)
    empty.restore(tmp_path / name)
    assert empty.contents() == home.contents()


def test_two_backups_into_one_folder_exclude_each_other(home: Home, folder: Path) -> None:
    refused: list[bool] = []

    def again(_line: object) -> None:
        if not refused:
            with pytest.raises(errors.BackupInUse):
                back_up(home.settings(), folder, lambda _: None)
            with pytest.raises(errors.BackupInUse):
                Home(folder).check(folder)
            refused.append(True)

    back_up(home.settings(), folder, again)
    assert refused
    assert home.check(folder).intact


def test_a_folder_without_locks_syncs_and_modes_will_do(
    home: Home, empty: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.back_up(folder)
    home.push(b"four")

    def no_locks(descriptor: int, _kind: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else ""
        if target.startswith(str(folder)):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(os, "fsync", faults.fails(errno.EINVAL))
    monkeypatch.setattr(os, "link", faults.fails(errno.EPERM))
    assert home.back_up(folder).copied == 1
    monkeypatch.undo()
    empty.restore(folder)
    assert empty.contents() == home.contents()


def test_a_disk_that_cannot_sync_fails_the_backup(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    home.push(b"four")
    faults.refuse_file_sync(monkeypatch, errno.EIO)
    with pytest.raises(errors.BackupFolderFailed, match="Input/output error"):
        home.back_up(folder)
    monkeypatch.undo()
    assert everything_in(folder) == before


def test_bytes_that_are_read_back_as_other_ones_fail_the_backup(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    home.push(b"four")
    really = files.pieces_of
    monkeypatch.setattr(files, "pieces_of", lambda path: iter([b"other"]) if "blobs" in path.parts else really(path))
    with pytest.raises(errors.BackupFolderFailed, match="read back as other ones"):
        home.back_up(folder)
    monkeypatch.undo()
    found = everything_in(folder)
    assert {name: found[name] for name in before} == before
    assert home.check(folder).intact


# --- the store ------------------------------------------------------------------------------------------------------


def test_a_store_in_memory_is_refused(home: Home, folder: Path) -> None:
    for urls in ({"db": "sqlite:///:memory:"}, {"saver": "memory:"}):
        with pytest.raises(errors.BackupRefused, match="in memory"):
            back_up(home.settings(**urls), folder, lambda _: None)
    assert not folder.exists()


def test_a_store_in_an_object_store_is_refused_with_another_way(home: Home, folder: Path) -> None:
    with pytest.raises(errors.BackupRefused, match="in an object store, s3://models/x") as refused:
        back_up(home.settings(saver="s3://models/x"), folder, lambda _: None)
    assert "opstore migrate" in refused.value.advice
    with pytest.raises(errors.BackupRefused, match="into an object store") as refused:
        RestoredHome(home.settings(saver="s3://models/x"))
    assert "opstore migrate" in refused.value.advice
    assert not folder.exists()


def test_a_home_without_a_store_is_not_created(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(errors.StoreNotFound):
        Home(tmp_path / "typo").back_up(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_database_is_refused_and_the_backup_stays(home: Home, folder: Path) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    (home.path / "opstore.db").unlink()
    with pytest.raises(errors.DatabaseLost):
        home.back_up(folder)
    assert everything_in(folder) == before


def test_a_database_without_its_last_commits_is_refused(home: Home, folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(home.path / "opstore.db", tmp_path / "older.db")
    home.push(b"four")
    home.back_up(folder)
    before = everything_in(folder)
    shutil.copyfile(tmp_path / "older.db", home.path / "opstore.db")
    with pytest.raises(errors.DatabaseDamaged, match="older copy"):
        home.back_up(folder)
    (home.path / "opstore.db.lock").unlink()
    with pytest.raises(errors.DatabaseDamaged, match="its last commits are missing"):
        home.back_up(folder)
    assert everything_in(folder) == before


def test_a_database_that_is_not_intact_is_refused_and_the_backup_stays(home: Home, folder: Path) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    path = home.path / "opstore.db"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = os.path.basename(path).encode() * 8
    path.write_bytes(data[: len(data)].ljust(path.stat().st_size, b"\xa5"))
    with pytest.raises(errors.DatabaseDamaged):
        home.back_up(folder)
    assert everything_in(folder) == before


def test_a_database_with_a_damaged_row_is_refused_and_the_backup_stays(home: Home, folder: Path) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    with closing(sqlite3.connect(home.path / "opstore.db")) as connection:
        connection.execute("DELETE FROM tag")
        connection.execute("DELETE FROM journal WHERE kind = 'tag'")
        connection.commit()
    with pytest.raises(errors.DatabaseDamaged, match="its journal has 5 of 6 entries"):
        home.back_up(folder)
    assert everything_in(folder) == before


def test_blobs_that_are_not_there_are_refused(home: Home, folder: Path) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    (home.path / "blobs").rename(home.path / "unmounted")
    with pytest.raises(errors.BlobsLost):
        home.back_up(folder)
    assert everything_in(folder) == before


def test_blobs_that_vanish_during_a_backup_fail_it(home: Home, folder: Path) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    home.push(b"four")

    def unmount(_line: object) -> None:
        if not (home.path / "unmounted").exists():
            (home.path / "blobs").rename(home.path / "unmounted")
            (home.path / "blobs").mkdir()

    with pytest.raises(errors.StorageFailed, match="not the folder that it was"):
        back_up(home.settings(), folder, unmount)
    found = everything_in(folder)
    assert {name: found[name] for name in before} == before


def test_blobs_of_another_store_are_refused(home: Home, folder: Path, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.push(b"1")
    with pytest.raises(errors.StoreMismatch):
        back_up(home.settings(saver=(other.path / "blobs").as_uri()), folder, lambda _: None)


def test_a_database_and_blobs_elsewhere(home: Home, folder: Path, tmp_path: Path, empty: Home) -> None:
    places = {"db": f"sqlite:///{tmp_path / 'data.db'}", "saver": (tmp_path / "bytes").as_uri()}
    (home.path / "opstore.db").rename(tmp_path / "data.db")
    (home.path / "blobs").rename(tmp_path / "bytes")
    made = back_up(home.settings(**places), folder, lambda _: None)
    assert made.copied == 3
    empty.restore(folder)
    with empty.opened() as store:
        assert store.pull("forest") == b"three"


@pytest.mark.parametrize("revision", few(1, ["0004", "0005", "0010"]))
def test_a_store_of_an_older_schema_is_backed_up_from_the_first_with_store_ids(
    tmp_path: Path, folder: Path, empty: Home, revision: str
) -> None:
    home = Home(tmp_path / "home")
    home.push(b"one")
    (home.path / "opstore.db").unlink()
    (home.path / "blobs" / "store-id").unlink()
    (home.path / "opstore.db.lock").unlink()
    (home.path / "blobs" / "position").unlink()
    (home.blob(digest_of(b"one"))).unlink()
    create_older(home.path / "opstore.db", revision)
    if revision == "0004":
        with pytest.raises(errors.DatabaseFailed, match="opstore db upgrade gives it one"):
            home.back_up(folder)
        return
    assert home.back_up(folder).schema == revision
    empty.restore(folder)
    with empty.opened() as store:
        assert store.ops() == []


@pytest.mark.slow
@pytest.mark.process
def test_a_folder_on_a_full_disk_keeps_the_previous_backup(home: Home, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk.mounted(disk, 4 * small_disk.MIB) as mounted:
        first = daemon.run(home.path, "backup", str(disk / "backup"), enter=mounted.enter)
        assert (first.returncode, first.stderr) == (0, "")
        mounted.fill(leave=64 * 1024)
        home.push(b"x" * small_disk.MIB)
        second = daemon.run(home.path, "backup", str(disk / "backup"), enter=mounted.enter)
        assert (second.returncode, second.stdout) == (9, "")
        assert second.stderr.startswith("error: there is no space left: ")
        checked = daemon.run(home.path, "backup", "--check", str(disk / "backup"), enter=mounted.enter)
        assert (checked.returncode, "position 6" in checked.stdout) == (0, True)
        mounted.empty()
        assert daemon.run(home.path, "backup", str(disk / "backup"), enter=mounted.enter).returncode == 0


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_folder_that_takes_no_more_bytes_keeps_the_previous_backup(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    home.back_up(folder)
    before = everything_in(folder)
    home.push(b"four")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", faults.fails(error))
        with pytest.raises(errors.Unavailable) as caught:
            home.back_up(folder)
    assert isinstance(caught.value, errors.BackupFolderFailed if error == errno.EROFS else errors.StorageFull)
    found = everything_in(folder)
    assert {name: found[name] for name in before} == before
    assert home.check(folder).position == 6
    assert home.back_up(folder).position == 7
