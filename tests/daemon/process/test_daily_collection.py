"""A real daemon collects once a day by itself, unless that is off, and a stop ends a running collection."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon import config
from opstore_daemon.protocol import errors, routes
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


def set_collected_at(home: Path, at: int) -> None:
    """Set the time of the last collection, in microseconds since 1970; no daemon runs."""
    with closing(sqlite3.connect(home / "opstore.db")) as connection, connection:
        connection.execute("UPDATE store SET collected_at = ?", (at,))


def collected_at(home: Path) -> int | None:
    """Return the time of the last collection; None if there was none."""
    with closing(sqlite3.connect(f"file:{home / 'opstore.db'}?mode=ro", uri=True)) as connection:
        found: int | None = connection.execute("SELECT collected_at FROM store").fetchone()[0]
    return found


@pytest.mark.slow
def test_a_daemon_whose_last_collection_was_long_ago_collects_by_itself(home: Path, start: Start) -> None:
    start().stop()
    set_collected_at(home, 1_000_000)
    orphan = old_orphan(home)
    daemon = start()
    wait_for((home / "blobs" / "trash" / orphan).exists, "the collection")
    wait_for(lambda: "collected garbage" in (home / "daemon.log").read_text(), "the end of it")
    daemon.stop()
    assert abs((collected_at(home) or 0) / 1e6 - time.time()) < 1800, "and not that of a collection that runs"
    log = (home / "daemon.log").read_text()
    assert log.count("collected garbage: freed 0 B; moved 1 blob (15 B) to the trash, which has 1 (15 B)") == 1


def test_a_daemon_collects_nothing_by_itself_if_that_is_off(home: Path, start: Start) -> None:
    start().stop()
    set_collected_at(home, 1_000_000)
    orphan = old_orphan(home)
    daemon = start(OPSTORE_GC="off")
    daemon.ask("GET", routes.STATUS)
    daemon.stop()
    assert collected_at(home) == 1_000_000
    assert not (home / "blobs" / "trash" / orphan).exists()


@pytest.mark.parametrize(("text", "collects"), [("", True), ("on", True), ("1", True), ("OFF", False), ("0", False)])
def test_the_setting_is_on_or_off(tmp_path: Path, text: str, collects: bool) -> None:
    assert config.load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_GC": text}).collects is collects


def test_any_other_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidSetting, match="OPSTORE_GC: 'never' is neither on nor off"):
        config.load({"OPSTORE_HOME": str(tmp_path), "OPSTORE_GC": "never"})
