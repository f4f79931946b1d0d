"""Sync a folder where the file system can."""

import errno
import os
from pathlib import Path

import pytest

from opstore_daemon.system.folder_sync import sync_folder
from tests.support.faults import fails

REFUSALS = [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_file_system_that_can_not_sync_folders_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "fsync", fails(error))
    sync_folder(tmp_path)
    sync_folder(os.fsencode(tmp_path))


def test_a_folder_that_can_not_be_listed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", fails(errno.EACCES))
    sync_folder(tmp_path)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE])
def test_a_disk_that_fails_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    monkeypatch.setattr(os, "fsync", fails(error))
    with pytest.raises(OSError, match=os.strerror(error)):
        sync_folder(tmp_path)


def test_no_descriptor_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    sync_folder(tmp_path)
    (descriptor,) = synced
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(descriptor)
