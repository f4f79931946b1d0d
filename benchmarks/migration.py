"""Move a store of many versions to PostgreSQL and an object store, and back, and compare every row and every blob.

Prints the seconds of each `opstore migrate`, its processor time, and that of PostgreSQL and of the object store, which
run on this machine. Each version has small bytes of its own; the ops have links and tags.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select, update

from benchmarks.daemon import OPSTORE, TICKS
from benchmarks.filled import fill, number
from benchmarks.measuring import show
from opstore_daemon import OpStoreServer, config
from opstore_daemon.metadata import Database, row_copy
from opstore_daemon.metadata.tables import Version
from opstore_daemon.migration.places import Places
from opstore_daemon.savers import FileSaver
from tests.support.object_store import ObjectStore
from tests.support.postgres import Postgres
from tests.support.private_server import PrivateServer
from tests.support.processes import children_of

OPS = ["first", "second", "third", "fourth"]
TAGGED = 1000  # every n-th version has a tag
OF_THE_SAVER = {"upload", "object", "object_draft", "object_part"}


@dataclass(frozen=True)
class Place:
    """Where a store is."""

    home: Path
    db: str
    saver: str

    @classmethod
    def in_folder(cls, folder: Path) -> "Place":
        """Return the place of a store in SQLite and files."""
        return cls(folder, f"sqlite:///{folder / 'opstore.db'}", (folder / "blobs").as_uri())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=5000, help="default: 5,000")
    parser.add_argument("--checksum", action="store_true", help="have migrate read all blobs back")
    parser.add_argument("--fsck", action="store_true", help="measure fsck there, too")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as text,
        Postgres(durable=True) as postgres,
        ObjectStore() as objects,
        postgres.database() as db,
        objects.fresh_prefix() as bucket,
    ):
        folder = Path(text)
        source, back = Place.in_folder(folder / "source"), Place.in_folder(folder / "back")
        there = Place(folder / "there", db, bucket.url)
        for each in (there, back):
            each.home.mkdir()
        os.environ.update(bucket.environ)
        fill_place(source.home, asked.versions)
        servers = {"PostgreSQL": postgres, "object store": objects}
        expected, options = fingerprints(source.db), ["--checksum"] if asked.checksum else []
        rows = []
        for name, old, new in (("there", source, there), ("back", there, back)):
            rows.append((name, *_measured(partial(_migrate, old, new, options), servers, asked.versions)))
            found = fingerprints(new.db)
            if found != expected:
                sys.exit(f"{name}: the tables {[each for each in expected if found[each] != expected[each]]} differ")
            if name == "there" and asked.fsck:
                rows.append(("fsck there", *_measured(partial(_check, there), servers, asked.versions)))
        if (count := count_blobs(back.home)) != asked.versions:
            sys.exit(f"{count} of {asked.versions} blobs are back")
    columns = ("", "seconds", "CPU s", *(f"CPU s of the {name}" for name in servers), "CPU ms a version", "load")
    show(f"opstore migrate of {asked.versions} versions: all rows and all blobs are the same", columns, rows)


def fill_place(home: Path, versions: int) -> None:
    """Make versions with links and tags, each with bytes of its own; past the verbs, which would take long."""
    home.mkdir()
    each = versions // len(OPS)
    saver = FileSaver(home / "blobs")
    with closing(OpStoreServer(saver, f"sqlite:///{home / 'opstore.db'}", home=home)) as server:
        fill(server, OPS, each, 0)
        for op in OPS:
            for at in range(0, each, TAGGED):
                server.store.tag(f"{op}@{number(at)}", f"tag-{at}")
        with server.db.read() as connection:
            ids = connection.execute(select(Version.id)).scalars().all()
        data = {each: b"%d" % each * (each % 50 + 1) for each in ids}
        digests = {each: hashlib.sha256(text).hexdigest() for each, text in data.items()}
        changed = (
            update(Version)
            .where(Version.id == bindparam("one"))
            .values(digest=bindparam("a_digest"), size=bindparam("a_size"))
        )
        with server.db.write() as connection:
            rows = [{"one": each, "a_digest": f"sha256:{digests[each]}", "a_size": len(data[each])} for each in data]
            connection.execute(changed, rows)
    blobs = home / "blobs" / "blobs"
    for each, digest in digests.items():
        (blobs / digest[:2]).mkdir(mode=0o700, exist_ok=True)
        (blobs / digest[:2] / digest).write_bytes(data[each])


def fingerprints(url: str) -> dict[str, Any]:
    """Return the number and the digest of the rows of each table, but those that are the saver's."""
    database = Database(url)
    with database.only_read(), database.read_for_long() as connection:
        tables = [table for table in row_copy.tables() if table.name not in OF_THE_SAVER]
        return {table.name: row_copy.fingerprint(connection, table) for table in tables}


def count_blobs(home: Path) -> int:
    """Return how many files there are whose bytes have the digest of their name."""
    files = (path for path in (home / "blobs" / "blobs").rglob("*") if path.is_file())
    return sum(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in files)


def _migrate(old: Place, new: Place, options: Sequence[str]) -> None:
    words = ["--db", old.db, "--saver", old.saver, "--to-db", new.db, "--to-saver", new.saver]
    environ = {**os.environ, "OPSTORE_HOME": str(old.home)}
    subprocess.run([OPSTORE, "-q", "migrate", *words, *options], env=environ, check=True, stdout=subprocess.DEVNULL)


def _check(place: Place) -> None:
    with _opened(place) as server:
        report = server.store.fsck()
    if not report.clean:
        sys.exit(f"fsck found {report.findings}")


@contextmanager
def _opened(place: Place) -> Iterator[OpStoreServer]:
    settings = config.load({"OPSTORE_HOME": str(place.home)}, place.db, place.saver)
    with closing(Database(place.db)) as database:
        saver = Places(settings).saver(database)
        with closing(OpStoreServer(saver, database, home=place.home)) as server:
            yield server


def _measured(work: Callable[[], None], servers: Mapping[str, PrivateServer], versions: int) -> list[str]:
    """Return the wall seconds of the work, the processor time of this process and its children, and of the servers."""

    def used() -> list[float]:
        return [sum(os.times()[:4]), *(_used(each.pid) for each in servers.values())]

    before, began = used(), time.monotonic()
    work()
    seconds = time.monotonic() - began
    spent = [after - earlier for after, earlier in zip(used(), before, strict=True)]
    load = f"{os.getloadavg()[0]:.0f}"
    return [f"{seconds:.1f}", *(f"{each:.1f}" for each in spent), f"{spent[0] / versions * 1000:.2f}", load]


def _used(pid: int) -> float:
    """Return the processor seconds of a process, of its children, and of those that have ended."""
    total = 0
    for each in (pid, *children_of(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


if __name__ == "__main__":
    main()
