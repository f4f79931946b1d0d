"""What stands in the folder of a FileSaver under the name of a blob, or nearly."""

import os
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.conformance.common import DIGEST, put
from tests.daemon.savers.on_disk import BLOB


def test_a_file_whose_name_only_begins_like_a_blobs_is_none(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path / "store")
    put(saver)
    shelf = (saver.root / BLOB).parent
    for name in (f"{shelf.name}.tmp", f"{BLOB.name}.bak", BLOB.name[:-1], BLOB.name[:-1] + "g"):
        (shelf / name).touch()
    assert list(saver) == [DIGEST]


@pytest.mark.timeout(10)
def test_a_pipe_in_the_place_of_a_blob_holds_nobody_up(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path / "store")
    (saver.root / BLOB).parent.mkdir()
    os.mkfifo(saver.root / BLOB)
    with pytest.raises(errors.StorageFailed):
        saver.open(DIGEST)
