"""The local daemon's home on a disk that is full or fails."""

import errno
import os
from pathlib import Path

import pytest

from opstore_cli.local import daemon
from opstore_daemon.protocol import errors
from tests.support.faults import fails


@pytest.mark.parametrize("call", ["mkdir", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_home_that_cannot_be_written_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails(number))
        with pytest.raises(errors.OutputFailed, match=os.strerror(number)):
            daemon.ensure_running(tmp_path / "home")
