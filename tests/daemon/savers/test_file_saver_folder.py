"""Who may enter the folder of a FileSaver, and what somebody may have planted there."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, UPLOAD, get, put
from opstore_daemon.savers.file_draft import MOST_NAMES
from tests.daemon.savers.on_disk import BLOB
from tests.support.file_modes import mode


def test_only_the_owner_can_read_folders_drafts_and_blobs(root: Path, saver: FileSaver) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA)
        assert mode(root / "staging" / UPLOAD) == 0o600
        draft.publish(DIGEST)
    assert mode(root / BLOB) == 0o400
    assert {mode(path) for path in (root, root / "staging", root / "blobs", root / "trash", (root / BLOB).parent)} == {
        0o700
    }


@pytest.mark.parametrize("plant", [lambda path, to: path.symlink_to(to), lambda path, to: os.mkfifo(path)])
def test_planted_files_are_neither_read_nor_written(
    saver: FileSaver, root: Path, tmp_path: Path, plant: Callable[[Path, Path], Any]
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    (root / BLOB).parent.mkdir()
    plant(root / "staging" / UPLOAD, outside)
    plant(root / BLOB, outside)
    with pytest.raises(errors.StorageFailed):
        saver.draft(UPLOAD)
    with pytest.raises(errors.StorageFailed):
        saver.open(DIGEST)
    assert (DIGEST in saver, list(saver)) == (False, [])
    put(saver)
    assert (get(saver), list(saver), outside.read_bytes()) == (DATA, [DIGEST], b"outside")


@pytest.mark.parametrize("folder", ["blobs", "staging", "trash", BLOB.parent])
def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path, root: Path, folder: str) -> None:
    (root / folder).parent.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / folder).symlink_to(tmp_path / "outside")
    with pytest.raises(errors.StorageFailed):
        put(FileSaver(root))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_draft_with_names_that_are_not_ours_is_refused(saver: FileSaver, tmp_path: Path, root: Path) -> None:
    saver.draft(UPLOAD).close()
    for number in range(MOST_NAMES):
        os.link(root / "staging" / UPLOAD, tmp_path / str(number))
    with pytest.raises(errors.StorageFailed):
        saver.draft(UPLOAD)


def test_strangers_are_neither_blobs_nor_drafts(saver: FileSaver, root: Path, tmp_path: Path) -> None:
    put(saver)
    folder = (root / BLOB).parent
    (folder / ("0" * 64)).touch()  # in the wrong folder
    (folder / "README").touch()
    (root / "blobs" / "lost+found").mkdir()
    (root / "blobs" / "00").touch()
    (root / "staging" / "README").touch()
    (tmp_path / "ff").mkdir()
    (tmp_path / "ff" / ("f" * 64)).touch()
    (root / "blobs" / "ff").symlink_to(tmp_path / "ff")
    assert list(saver) == [DIGEST]
    assert list(saver.drafts()) == []


def test_a_file_whose_name_only_begins_like_a_blob_is_not_one(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path / "store")
    put(saver)
    folder = (saver.root / BLOB).parent
    for name in (f"{folder.name}.tmp", f"{BLOB.name}.bak", BLOB.name[:-1], BLOB.name[:-1] + "g"):
        (folder / name).touch()
    assert list(saver) == [DIGEST]


@pytest.mark.timeout(10)
def test_opening_a_pipe_in_place_of_a_blob_does_not_block(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path / "store")
    (saver.root / BLOB).parent.mkdir()
    os.mkfifo(saver.root / BLOB)
    with pytest.raises(errors.StorageFailed):
        saver.open(DIGEST)


def test_the_second_name_of_a_lost_draft_counts_as_a_draft(saver: FileSaver, root: Path) -> None:
    (root / "staging" / f"{UPLOAD}.spare").touch()
    assert (list(saver.drafts()), saver.staged_size(UPLOAD)) == ([UPLOAD], 0)
    saver.discard(UPLOAD)
    assert list((root / "staging").iterdir()) == []


def test_strangers_in_the_trash_are_not_listed(saver: FileSaver, root: Path, tmp_path: Path) -> None:
    put(saver)
    saver.trash(DIGEST)
    (root / "trash" / "notes.txt").touch()
    (root / "trash" / ("0" * 64)).mkdir()
    (root / "trash" / ("1" * 64)).symlink_to(tmp_path)
    assert [each.digest for each in saver.trashed()] == [DIGEST]


def test_a_trash_that_somebody_deleted_is_made_again(saver: FileSaver, root: Path) -> None:
    put(saver)
    (root / "trash").rmdir()
    assert list(saver.trashed()) == []
    saver.purge(DIGEST)
    saver.trash(DIGEST)
    assert ([each.digest for each in saver.trashed()], mode(root / "trash")) == ([DIGEST], 0o700)
