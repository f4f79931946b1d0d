"""A real daemon collects once a day by itself, unless that is off, and a stop ends a running collection."""

import os
from pathlib import Path

import pytest

from opstore_daemon import config
from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.conformance.common import put
from tests.daemon.process.conftest import Start
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process


def old_orphan(home: Path) -> str:
    """Leave a blob that a crash left long ago; return the hex digits of its digest."""
    digest = put(FileSaver(home / "blobs"), b"left by a crash")
    os.utime(home / "blobs" / "blobs" / digest.hex[:2] / digest.hex, (1, 1))
    return digest.hex


def test_a_daemon_whose_last_collection_was_long_ago_collects_by_itself(home: Path, start: Start) -> None:
    start().stop()
    (home / "last-collection").write_text("2001-01-01T00:00:00+00:00\n")
    orphan = old_orphan(home)
    daemon = start()
    wait_for((home / "blobs" / "trash" / orphan).exists, "the collection")
    wait_for(lambda: "2001" not in (home / "last-collection").read_text(), "the record of it")
    daemon.stop()
    log = (home / "daemon.log").read_text()
    assert log.count("collected garbage: freed 0 B; moved 1 blob (15 B) to the trash, which has 1 (15 B)") == 1


def test_a_daemon_collects_nothing_by_itself_if_that_is_off(home: Path, start: Start) -> None:
    start(OPSTORE_GC="off").stop()
    assert not (home / "last-collection").exists()


@pytest.mark.parametrize(("text", "collects"), [("", True), ("on", True), ("1", True), ("OFF", False), ("0", False)])
def test_the_setting_is_on_or_off(tmp_path: Path, text: str, collects: bool) -> None:
    assert config.load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_GC": text}).collects is collects


def test_any_other_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidSetting, match="OPSTORE_GC: 'never' is neither on nor off"):
        config.load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_GC": "never"})
