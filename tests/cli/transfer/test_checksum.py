"""The checksum and digest of an upload."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from opstore_cli.transfer.checksum import SourceHash
from opstore_cli.transfer.source import open_source
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import HASH_READ_SIZE
from tests.support.random_bytes import random_bytes

DATA = random_bytes(9 * HASH_READ_SIZE + 17)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize(
    "ends", [[0, 1, HASH_READ_SIZE, HASH_READ_SIZE + 1, 5 * HASH_READ_SIZE, 3, len(DATA)], [len(DATA)]]
)
@pytest.mark.parametrize("kind", ["a path", "bytes"])
@pytest.mark.parametrize("secure", [False, True])
def test_each_byte_is_hashed_once_in_whatever_steps_the_hash_is_extended(
    path: Path, ends: list[int], kind: str, secure: bool
) -> None:
    with open_source(path if kind == "a path" else DATA) as source:
        hashed = SourceHash(source, secure=secure)
        for end in ends:
            hashed.extend_to(end)
        expected = {"digest": digest_of(DATA)} if secure else {"checksum": checksum_of(new_sum(DATA))}
        assert hashed.declaration() == expected


def test_a_file_that_became_shorter_is_refused(path: Path) -> None:
    with open_source(path) as source:
        os.truncate(path, HASH_READ_SIZE)
        with pytest.raises(errors.FileRefused, match="shorter while it was read"):
            SourceHash(source).extend_to(len(DATA))


@pytest.mark.parametrize("kind", ["a path", "bytes"])
def test_parts_are_hashed_with_the_whole_also_if_that_is_ahead(path: Path, kind: str) -> None:
    size, ends = len(DATA), [0, 5, HASH_READ_SIZE + 5, 4 * HASH_READ_SIZE, len(DATA)]
    for ahead in (0, 3 * HASH_READ_SIZE + 1, size):
        with open_source(path if kind == "a path" else DATA) as source:
            hashed = SourceHash(source)
            hashed.extend_to(ahead)
            for start, end in pairwise(ends):
                assert hashed.digest_of_part(start, end) == digest_of(DATA[start:end])
            assert hashed.declaration() == {"checksum": checksum_of(new_sum(DATA))}
