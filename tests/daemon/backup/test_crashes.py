"""A crash before any system call of a backup or a restore, and a failure of any of them."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.protocol import errors, restore_marker
from opstore_daemon.protocol.digests import PREFIX
from tests.support.backups import Home, everything_in, manifest_of
from tests.support.faults import Crash

# The calls that change something on a disk, or open what is there. SQLite makes its own.
CALLS = ("open", "write", "pwrite", "fsync", "fchmod", "utime", "mkdir", "link", "rename", "replace", "unlink")
ALL_OR_SOME = [pytest.param(1, marks=pytest.mark.slow), 23]  # every call, or one in so many
ERRORS = [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS]


class Interruption:
    """Raises the failure before the n-th system call of this process, from 1; a crash before each later one, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, failure: BaseException) -> None:
        self.count, self.at, self.failure = 0, at, failure
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.at or (self.count > self.at and isinstance(self.failure, Crash)):
                raise self.failure
            return call(*args, **options)

        return counted


def interrupted(
    monkeypatch: pytest.MonkeyPatch, every: int, failure: Callable[[int], BaseException], work: Callable[[], object]
) -> Iterator[int]:
    """Do the work again and again, with a failure at a later call each time; yield the number of that call.

    Ends when the work makes fewer calls, and fails if it raises anything but a crash or an error of opstore.
    """
    for at in range(1, 10_000, every):
        with monkeypatch.context() as patch:
            interruption = Interruption(patch, at, failure(at))
            with suppress(Crash, errors.OpStoreError):
                work()
            # Their frames hold locks, which the end of a process releases.
            interruption.failure.__traceback__ = interruption.failure.__context__ = None
        yield at
        if interruption.count < at:
            assert at > 20  # it made calls that this test sees
            return


@pytest.fixture
def saved(home: Home, folder: Path) -> Path:
    """The backup of the home, to which two versions were added since."""
    home.back_up(folder)
    home.push(b"four", b"five")
    return folder


def fresh(path: Path, original: Path) -> None:
    """Put a copy of the original at the path."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(original, path)


def check_previous(home: Home, folder: Path) -> None:
    """Check that the folder has the backup from before, or the one that was interrupted; and that it can go on."""
    found = manifest_of(folder)
    assert found["position"] in (6, 8)
    missing = {each["digest"] for each in found["missing"]}  # a blob that could not be read
    assert {each.digest for each in home.check(folder).problems} <= missing
    made = home.back_up(folder, prune=True)
    assert (made.position, made.missing) == (8, ())
    left = set(everything_in(folder))
    blobs = {f"blobs/{name[:2]}/{name}" for name in blob_names(home)}
    files = {"manifest.json", "SHA256SUMS", "backup.lock", "opstore-backup.txt", made.database}
    assert left == blobs | files


def blob_names(home: Home) -> set[str]:
    return {path.name for path in (home.path / "blobs" / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("every", ALL_OR_SOME)
def test_a_crash_at_any_call_leaves_the_previous_backup_whole(
    home: Home, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    folder = tmp_path / "interrupted"
    fresh(folder, saved)
    for _ in interrupted(monkeypatch, every, lambda _: Crash(), lambda: home.back_up(folder, prune=True)):
        check_previous(home, folder)
        fresh(folder, saved)


@pytest.mark.parametrize("every", ALL_OR_SOME)
def test_a_failure_of_any_call_leaves_the_previous_backup_whole(
    home: Home, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    folder = tmp_path / "interrupted"
    fresh(folder, saved)

    def failure(at: int) -> OSError:
        number = ERRORS[at % len(ERRORS)]
        return OSError(number, os.strerror(number))

    for _ in interrupted(monkeypatch, every, failure, lambda: home.back_up(folder, prune=True)):
        check_previous(home, folder)
        fresh(folder, saved)


@pytest.mark.slow
@pytest.mark.parametrize("every", ALL_OR_SOME)
def test_a_first_backup_that_crashes_at_any_call_is_completed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    folder = tmp_path / "first"
    for _ in interrupted(monkeypatch, every, lambda _: Crash(), lambda: home.back_up(folder)):
        if not (folder / "manifest.json").exists():
            with pytest.raises(errors.BackupNotFound):
                home.check(folder)
        home.back_up(folder)
        assert home.check(folder).intact
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["crash", "failure"])
@pytest.mark.parametrize("every", ALL_OR_SOME)
def test_a_crash_at_any_call_of_a_restore_leaves_no_half_of_a_store(
    home: Home, saved: Path, empty: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, kind: str
) -> None:
    whole = Home(tmp_path / "whole")
    whole.restore(saved)
    expected = store_files(whole)

    def failure(at: int) -> BaseException:
        number = ERRORS[at % len(ERRORS)]
        return Crash() if kind == "crash" else OSError(number, os.strerror(number))

    for _ in interrupted(monkeypatch, every, failure, lambda: empty.restore(saved)):
        if restore_marker.read(empty.path) is None:
            found = {name: data for name, data in store_files(empty).items() if not name.endswith(".part")}
            assert found in ({}, expected)
        else:
            empty.restore(saved)
        if not (empty.path / "opstore.db").exists():
            empty.restore(saved)
        assert store_files(empty) == expected
        assert restore_marker.read(empty.path) is None
        shutil.rmtree(empty.path)


def store_files(home: Home) -> dict[str, bytes]:
    """Return the files of the store in the home, without the locks, which name their holders.

    Without `position` too: it is a precaution, which a failure may delay to the first start.
    """
    if not home.path.exists():
        return {}
    return {name: data for name, data in home.files().items() if not name.endswith(("lock", "position"))}


def test_each_blob_that_a_crash_left_is_that_of_its_name(
    home: Home, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "interrupted"
    fresh(folder, saved)
    for _ in interrupted(monkeypatch, 11, lambda _: Crash(), lambda: home.back_up(folder)):
        for path in (folder / "blobs").rglob("*"):
            if path.is_file() and not path.name.endswith(".part"):
                assert home.blob(PREFIX + path.name).read_bytes() == path.read_bytes()
        fresh(folder, saved)
