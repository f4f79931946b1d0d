"""A store of many versions moves there and back in bounded memory."""

import hashlib
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from benchmarks.filled import fill
from opstore_daemon.metadata import Database, row_copy
from opstore_daemon.metadata.tables import Version
from tests.load.figures import report
from tests.load.sizes import at_sizes
from tests.support.moves import StorePlace, instant
from tests.support.servers import open_server

MIB = 1024 * 1024
OPS = ["first", "second", "third", "fourth"]

# In a process of its own: its peak before and after the move, in bytes.
MOVING = """
import json, sys, time
from opstore_daemon import config
from opstore_daemon.metadata import Database
from opstore_daemon.migration.moving import migrate
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
home, db, saver, to_db, to_saver = sys.argv[1:]
for url in (db, to_db):
    Database(url).close()  # imports its driver
before, began = peak(), time.monotonic()
moved = migrate(config.load({"OPSTORE_HOME": home}, db, saver), to_db, to_saver, lambda line: None)
print(json.dumps({"grown": peak() - before, "copied": moved.copied, "rows": moved.rows,
                  "seconds": time.monotonic() - began}))
"""


def fill_place(place: StorePlace, versions: int) -> None:
    """Make versions with links, each with bytes of its own; written past the verbs, which would take long."""
    place.home.mkdir()
    with closing(open_server(place.home)) as server:
        fill(server, OPS, versions // len(OPS), 0)
        with server.db.read() as connection:
            ids = connection.execute(select(Version.id)).scalars().all()
        data = {each: b"%d" % each * (each % 50 + 1) for each in ids}
        changed = (
            update(Version)
            .where(Version.id == bindparam("one"))
            .values(digest=bindparam("a_digest"), size=bindparam("a_size"))
        )
        with server.db.write() as connection:
            digests = {each: hashlib.sha256(text).hexdigest() for each, text in data.items()}
            rows = [{"one": each, "a_digest": f"sha256:{digests[each]}", "a_size": len(data[each])} for each in data]
            connection.execute(changed, rows)
    blobs = place.home / "blobs" / "blobs"
    for each, digest in digests.items():
        (blobs / digest[:2]).mkdir(mode=0o700, exist_ok=True)
        (blobs / digest[:2] / digest).write_bytes(data[each])


def fingerprints(url: str) -> dict[str, Any]:
    """Return the digest of each table."""
    database = Database(url)
    with database.only_read(), database.read_for_long() as connection:
        return {table.name: row_copy.fingerprint(connection, table) for table in row_copy.tables()}


def moved(source: StorePlace, target: StorePlace) -> dict[str, Any]:
    """Move a store in a process of its own; return what it printed."""
    words = [str(source.home), source.db, source.saver, target.db, target.saver]
    out = subprocess.run([sys.executable, "-P", "-c", MOVING, *words], stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see the peak memory")
@at_sizes("versions", 100_000, 400)
def test_many_versions_move_to_postgresql_and_back_in_bounded_memory(
    versions: int, tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = StorePlace.in_folder(tmp_path / "source")
    fill_place(source, versions)
    (tmp_path / "there").mkdir()
    (tmp_path / "back").mkdir()
    there, back = StorePlace.in_folder(tmp_path / "there").at(db=postgres_url), StorePlace.in_folder(tmp_path / "back")
    expected = fingerprints(source.db)
    results = [moved(source, there), moved(there, back)]
    assert fingerprints(there.db) == fingerprints(back.db) == expected
    for name, result in zip(("there", "back"), results, strict=True):
        assert result["copied"] == versions
        assert result["grown"] < 48 * MIB, result
        text = f"{versions} versions {name}: {result['seconds']:.1f} s, {result['rows']} rows"
        report(capsys, f"{text}, memory grown by {result['grown'] / MIB:.0f} MiB")
    with source.opened(instant()) as store, back.opened(instant()) as other:
        assert store.push("first", b"next") == other.push("first", b"next")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see the peak memory")
def test_memory_does_not_grow_with_the_size_of_a_blob(tmp_path: Path) -> None:
    source, target = StorePlace.in_folder(tmp_path / "source"), StorePlace.in_folder(tmp_path / "target")
    target.home.mkdir()
    with open(tmp_path / "large", "wb") as file:
        file.truncate(96 * MIB)
    with source.opened() as store, open(tmp_path / "large", "rb") as file:
        store.push("large", file)
    assert moved(source, target)["grown"] < 32 * MIB
