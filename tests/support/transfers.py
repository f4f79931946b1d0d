"""Bytes and helpers for the tests of transfers."""

import io
from pathlib import Path
from typing import cast

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from tests.support.fake_daemon import FakeDaemon
from tests.support.random_bytes import random_bytes

BYTES = random_bytes(9_000_001)


def source_file(folder: Path, data: bytes = BYTES) -> Path:
    """Write a file to push."""
    path = folder / "source.bin"
    path.write_bytes(data)
    return path


def state_files(home: Path) -> list[Path]:
    """Return the state files of unfinished transfers."""
    folder = home / "transfers"
    return list(folder.iterdir()) if folder.exists() else []


def outputs(folder: Path) -> list[Path]:
    """Return what is in the folder besides the client's home."""
    return [path for path in folder.iterdir() if path.name != "home"]


def count_requests(daemon: FakeDaemon, request: str) -> int:
    """Return how many requests of the daemon's log begin with the text."""
    return sum(line.startswith(request) for line in daemon.log)


def interrupt_push(daemon: FakeDaemon, client: OpStoreClient, path: Path) -> None:
    """Push to pca as a process would that sends 5 MB and then finds no daemon any more."""
    daemon.faults = [("PATCH uploads", 5_000_000)] + [("PATCH uploads", 0)] * 6
    with pytest.raises(errors.ConnectionLost):
        client.push("pca", path)


class Pipe(io.RawIOBase):
    """A stream that can't seek and returns few bytes per read."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))[:70_000]
        return self._data.readinto(view)
