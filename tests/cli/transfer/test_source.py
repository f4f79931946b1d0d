"""The sources of a push."""

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from opstore_cli.transfer.checksum import SourceHash
from opstore_cli.transfer.source import Slice, open_source
from opstore_daemon.protocol import errors
from tests.support.faults import fails
from tests.support.transfers import BYTES, source_file


def test_every_reader_refuses_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = source_file(tmp_path)
    ours, theirs = socket.socketpair()
    with ours, theirs, open_source(path) as source:
        os.truncate(path, 1000)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            Slice(source, 990, 20).send_to(ours)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            SourceHash(source).extend_to(1010)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            source.sample()
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            source.digest(lambda _done: None)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO, errno.EOVERFLOW])
@pytest.mark.parametrize("start", [0, 70_000])
def test_a_file_system_that_refuses_sendfile_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, start: int
) -> None:
    monkeypatch.setattr(os, "sendfile", fails(error))
    received = bytearray()
    ours, theirs = socket.socketpair()
    with ours, theirs, source_file(tmp_path).open("rb") as file:
        file.seek(start)

        def receive() -> None:
            while data := theirs.recv(65_536):
                received.extend(data)

        reader = threading.Thread(target=receive)
        reader.start()
        with open_source(file) as source:
            for offset, count in ((0, 100_000), (100_000, 50_000), (0, 3)):
                Slice(source, offset, count).send_to(ours)
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    assert received == BYTES[start : start + 150_000] + BYTES[start : start + 3]


def test_a_file_that_can_not_be_read_is_no_failure_of_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open_source(source_file(tmp_path)) as source:
        monkeypatch.setattr(os, "sendfile", fails(errno.EIO))
        monkeypatch.setattr(os, "preadv", fails(errno.EIO))
        with pytest.raises(errors.FileRefused, match=r"Input/output error"):
            Slice(source, 0, 20).send_to(ours)
