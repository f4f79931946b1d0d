"""How FileSaver handles a failing disk, and the order of its system calls."""

import errno
import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import Draft, FileSaver, file_draft
from opstore_daemon.savers.conformance.common import DATA, DIGEST, UPLOAD, get, put, read_back, receive
from opstore_daemon.system import full_disk
from tests.daemon.savers.on_disk import BLOB, complete, damage, files
from tests.support.faults import fails, record, refuse_folder_sync
from tests.support.file_modes import mode


def assert_unusable(draft: Draft) -> None:
    with pytest.raises(errors.StorageFailed, match="unusable"):
        draft.append(b"")
    with pytest.raises(errors.StorageFailed, match="unusable"):
        draft.publish(DIGEST)


def test_bytes_are_synced_before_they_get_a_name_and_the_name_before_publish_returns(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BLOB.parent.name
    log = record(monkeypatch, root)
    saver = FileSaver(root)
    assert log == [f"fsync {root.parent.name}", "fsync store"]
    log.clear()
    put(saver)
    sealed = ["pwrite file", "fchmod file", "fsync file"]
    assert log == [*sealed, "fsync blobs", "link blobs", f"fsync {folder}"]
    log.clear()
    put(saver)
    placed = ["link blobs", "link staging", "rename blobs"]
    assert log == [*sealed, *placed, f"fsync {folder}"], "it takes the place of the one that is there"
    log.clear()
    put(FileSaver(root))
    assert log[:5] == ["fsync store", *sealed, "fsync blobs"], "whoever made the folder may have died before its fsync"


def test_short_writes_are_continued(saver: FileSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:7], offset))
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(memoryview(DATA).cast("H"))  # whose length is not in bytes
        draft.publish(DIGEST)
    assert get(saver) == DATA


def test_a_write_that_takes_nothing_fails(saver: FileSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: 0)
    with closing(saver.draft(UPLOAD)) as draft, pytest.raises(errors.StorageFailed):
        draft.append(DATA)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_an_append_to_a_full_disk_stores_nothing_and_can_be_repeated(saver: FileSaver, root: Path, error: int) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA[:7])
        with pytest.MonkeyPatch.context() as patch:
            write, no_space = os.pwrite, fails(error, after=1)
            patch.setattr(os, "pwrite", lambda fd, data, offset: no_space() or write(fd, data[:5], offset))
            with pytest.raises(errors.StorageFull, match="while writing a draft"):
                draft.append(DATA[7:])
        assert draft.offset == (root / "staging" / UPLOAD).stat().st_size == 7
        draft.append(DATA[7:])
        draft.publish(DIGEST)
    assert get(saver) == DATA


def test_a_draft_that_cannot_be_truncated_to_its_offset_becomes_unusable(saver: FileSaver) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwrite", fails(errno.EIO))
            patch.setattr(os, "ftruncate", fails(errno.EIO))
            with pytest.raises(errors.StorageFailed):
                draft.append(DATA)
        assert_unusable(draft)


def test_bytes_that_may_not_be_on_the_disk_are_never_published(saver: FileSaver, root: Path) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fails(errno.EIO))
            with pytest.raises(errors.StorageFailed, match="while publishing"):
                draft.publish(DIGEST)
        assert DIGEST not in saver
        assert_unusable(draft)  # the next fsync would say yes
    with closing(FileSaver(root).draft(UPLOAD)) as draft:
        assert draft.offset == 0, "what the system still holds is not to be trusted after a restart, either"
    saver.discard(UPLOAD)
    assert files(root) == set()


@pytest.mark.parametrize("nth", [2, 3])
def test_a_folder_that_cannot_be_synced_fails_the_publish(saver: FileSaver, root: Path, nth: int) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fails(errno.EIO, after=nth - 1))
            with pytest.raises(errors.StorageFailed):
                draft.publish(DIGEST)
        assert_unusable(draft)
    complete(saver)
    assert files(root) == {BLOB}


@pytest.mark.parametrize("call", ["link", "mkdir", "utime"])
def test_a_publish_to_a_full_disk_can_be_repeated(saver: FileSaver, call: str) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, call, fails(errno.ENOSPC))
            with pytest.raises(errors.StorageFull, match="while publishing"):
                draft.publish(DIGEST)
        assert DIGEST not in saver
        draft.publish(DIGEST)
    assert get(saver) == DATA


def test_an_existing_blob_is_replaced_by_durable_bytes(saver: FileSaver, root: Path) -> None:
    """The existing blob may be damaged, and whoever linked it may have died before it was durable."""
    put(saver)
    with saver.open(DIGEST) as before:
        put(saver)
        assert os.fstat(before.fileno()).st_ino != (root / BLOB).stat().st_ino
        assert before.read() == get(saver) == DATA
    assert not any((root / "staging").iterdir())


def test_a_blob_is_as_young_as_its_last_publish_however_long_the_upload_took(saver: FileSaver, root: Path) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        for path in (root / "staging" / UPLOAD, root / BLOB):
            os.utime(path, (1, 1))
            draft.publish(DIGEST)
            assert saver.published_at(DIGEST) > 1_000_000_000
    os.utime(root / BLOB, (1, 1))
    put(saver)
    assert saver.published_at(DIGEST) > 1_000_000_000


def test_a_copy_is_synced_before_it_gets_a_name_if_there_are_no_hard_links(
    saver: FileSaver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", fails(errno.EPERM))
    log = record(monkeypatch, root)
    put(saver)
    copied = ["link blobs", "link staging", "pwrite file", "fchmod file", "fsync file", "rename blobs"]
    assert log[4:] == [*copied, f"fsync {BLOB.parent.name}"]
    assert mode(root / BLOB) == 0o400


def test_a_copy_that_does_not_leave_the_margin_is_refused_and_leaves_nothing(
    saver: FileSaver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", fails(errno.EPERM))
    room = SimpleNamespace(f_bavail=full_disk.MARGIN + len(DATA) - 1, f_frsize=1, f_files=1, f_favail=1)
    monkeypatch.setattr(os, "statvfs", lambda _path: room)
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        with pytest.raises(errors.StorageFull):
            draft.publish(DIGEST)
        assert [path.name for path in (root / "staging").iterdir()] == [UPLOAD]
        room.f_bavail += 1
        draft.publish(DIGEST)
    assert get(saver) == DATA


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_or_modes_gets_a_copy(saver: FileSaver, root: Path, error: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", fails(error))
        patch.setattr(os, "fchmod", fails(errno.EPERM))
        with closing(saver.draft(UPLOAD)) as draft:
            draft.append(DATA)
            for damaged in (False, False, True):
                if damaged:
                    damage(root)
                draft.publish(DIGEST)
                assert get(saver) == DATA
                assert files(root) == {BLOB, Path("staging", UPLOAD)}


def test_a_failed_replacement_can_be_repeated(saver: FileSaver, root: Path) -> None:
    put(saver)
    damage(root)
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "rename", fails(errno.EIO))
            with pytest.raises(errors.StorageFailed):
                draft.publish(DIGEST)
        draft.publish(DIGEST)
    assert get(saver) == DATA


@pytest.mark.parametrize("why", ["its other name", "its mode"])
def test_a_published_draft_takes_no_more_bytes_after_a_restart(saver: FileSaver, root: Path, why: str) -> None:
    with pytest.MonkeyPatch.context() as patch, closing(saver.draft(UPLOAD)) as draft:
        if why == "its other name":
            patch.setattr(os, "fchmod", fails(errno.EPERM))
        draft.append(DATA)
        draft.publish(DIGEST)
    if why == "its mode":
        put(saver)  # another draft, which takes its second name away
    with closing(FileSaver(root).draft(UPLOAD)) as draft, pytest.raises(errors.StorageFailed, match="no more bytes"):
        draft.append(b"more")
    assert get(saver) == DATA


def test_a_published_draft_is_reopened_read_only(saver: FileSaver) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        draft.publish(DIGEST)
    opened: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        real = os.open
        patch.setattr(os, "open", lambda path, flags, *rest: opened.append(flags) or real(path, flags, *rest))  # type: ignore[func-returns-value]
        complete(saver)
    assert not any(flags & (os.O_WRONLY | os.O_RDWR) and not flags & os.O_EXCL for flags in opened)


def test_a_draft_whose_file_was_cut_is_not_published(saver: FileSaver, root: Path) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        os.truncate(root / "staging" / UPLOAD, 7)
        with pytest.raises(errors.StorageFailed):
            draft.publish(DIGEST)
        with pytest.raises(errors.StorageFailed, match="while reading a draft"):
            read_back(draft)


def test_a_disk_that_cannot_be_read_says_so(saver: FileSaver, root: Path) -> None:
    put(saver)
    with saver.open(DIGEST) as file:
        os.close(file.fileno())
        with pytest.raises(errors.StorageFailed, match="while reading a blob"):
            file.read(5)
        with pytest.raises(errors.StorageFailed, match="while reading a blob"):
            file.read()
        with suppress(OSError):
            file.close()


def test_the_reason_of_a_failure_names_no_path(root: Path) -> None:
    root.touch()
    with pytest.raises(errors.StorageFailed) as caught:
        FileSaver(root)
    assert str(root) not in str(caught.value)


def test_the_free_space_is_known(saver: FileSaver) -> None:
    assert saver.free() > 0  # type: ignore[operator]


@pytest.mark.parametrize("way", ["no splice", "no pipe", "from the connection", "to the file"])
@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP])
def test_received_bytes_are_stored_if_the_system_cannot_splice(
    saver: FileSaver, monkeypatch: pytest.MonkeyPatch, way: str, error: int
) -> None:
    if way == "no splice":
        monkeypatch.setattr(file_draft, "AVAILABLE", False)
        monkeypatch.delattr(os, "splice", raising=False)
    elif way == "no pipe":
        monkeypatch.setattr(os, "pipe2", fails(errno.EMFILE))
    else:
        real, refuse = os.splice, fails(error)

        def splice(*args: int, **kwargs: int) -> int:
            if ("offset_dst" in kwargs) == (way == "to the file"):
                refuse()
            return real(*args, **kwargs)

        monkeypatch.setattr(os, "splice", splice)
    with closing(saver.draft(UPLOAD)) as draft:
        receive(draft, DATA * 500)
        draft.publish(digest_of(DATA * 500))
    assert get(saver, digest_of(DATA * 500)) == DATA * 500


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES])
def test_a_file_system_that_can_not_sync_folders_stores_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    refuse_folder_sync(monkeypatch, error)
    saver = FileSaver(root)
    complete(saver)
    assert files(root) == {BLOB}


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EIO])
def test_a_file_that_can_not_be_synced_is_never_published(saver: FileSaver, error: int) -> None:
    with closing(saver.draft(UPLOAD)) as draft, pytest.MonkeyPatch.context() as patch:
        draft.append(DATA)
        patch.setattr(os, "fsync", fails(error))
        with pytest.raises(errors.StorageFailed, match=f"{os.strerror(error)} while publishing"):
            draft.publish(DIGEST)
        assert DIGEST not in saver


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_modes_stores_all_the_same(
    saver: FileSaver, root: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "fchmod", fails(error))
    complete(saver)
    assert files(root) == {BLOB}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_received_bytes_that_do_not_fit_are_dropped_and_later_ones_do_not_replace_them(
    saver: FileSaver, error: int
) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA[:7])
        with pytest.MonkeyPatch.context() as patch:
            real = os.splice

            def splice(*args: int, **kwargs: int) -> int:
                if kwargs.get("offset_dst", 0) > 7:
                    raise OSError(error, os.strerror(error))
                return real(args[0], args[1], 5, **kwargs) if kwargs else real(*args)

            patch.setattr(os, "splice", splice)
            with pytest.raises(errors.Unavailable, match="while writing a draft"):
                receive(draft, b"x" * 100)
        assert draft.offset == 7
        receive(draft, DATA[7:])
        draft.publish(DIGEST)
    assert get(saver) == DATA


def test_the_trash_counts_from_the_collection(saver: FileSaver, root: Path) -> None:
    put(saver)
    os.utime(root / BLOB, (1, 1))
    saver.trash(DIGEST)
    (trashed,) = saver.trashed()
    assert trashed.trashed_at > 1_000_000_000


def test_a_full_disk_leaves_a_blob_that_it_cannot_move_to_the_trash(
    saver: FileSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(saver)
    monkeypatch.setattr(os, "rename", fails(errno.ENOSPC))
    with pytest.raises(errors.StorageFull, match="while moving a blob to the trash"):
        saver.trash(DIGEST)
    assert (get(saver), list(saver.trashed())) == (DATA, [])


@pytest.mark.parametrize("name", ["ab", "foreign", "trash"])
def test_a_folder_that_can_not_be_looked_at_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    saver = FileSaver(tmp_path)
    (tmp_path / "foreign").touch()

    def failing(look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def fail(path: object, *args: Any, **kwargs: Any) -> os.stat_result:
            if os.path.basename(str(path)) == name:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return look(path, *args, **kwargs)

        return fail

    for call in ("stat", "lstat"):
        monkeypatch.setattr(os, call, failing(getattr(os, call)))
    with pytest.raises(errors.StorageFailed, match="Input/output error while l"):
        list(saver.trashed() if name == "trash" else saver.survey("ab" if name == "ab" else "."))
