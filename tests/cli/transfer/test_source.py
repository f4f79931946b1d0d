"""The sources of a push."""

import os
import socket
from pathlib import Path

import pytest

from opstore_cli.transfer.checksum import SourceHash
from opstore_cli.transfer.source import Slice, open_source
from opstore_daemon.protocol import errors
from tests.support.transfers import source_file


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
