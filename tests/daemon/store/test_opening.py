"""A server opens a database and blobs only if they belong together, alone, and after any crash."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.savers.base import Draft
from opstore_daemon.savers.collection_lock import CollectionLock
from opstore_daemon.savers.conformance.common import put
from opstore_daemon.system.lock_file import EARLIER_SERVER
from tests.support.figures import few
from tests.support.random_bytes import random_bytes
from tests.support.schema import HEAD, create_older, turn_older

STORE_ID_OF_ANOTHER = "f" * 32


class Place:
    """A database and a folder of blobs, as a server uses them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.database, self.blobs = folder / "opstore.db", folder / "blobs"

    def open(self, saver: BaseSaver | None = None) -> OpStoreServer:
        """Open a server here."""
        return OpStoreServer(saver or FileSaver(self.blobs), f"sqlite:///{self.database}")

    def push(self, *data: bytes) -> list[str]:
        """Open a server, push each as a version of pca, close it; return the version numbers."""
        with closing(self.open()) as server:
            return [server.store.push("pca", each).version for each in data]

    def pull(self) -> bytes:
        """Open a server, and return the bytes of the latest version of pca."""
        with closing(self.open()) as server:
            return server.store.pull("pca")

    @property
    def store_id(self) -> str:
        """The id in the folder."""
        return (self.blobs / "store-id").read_text().strip()

    def forget_the_ids(self) -> None:
        """Turn the store into one from before store ids."""
        (self.blobs / "store-id").unlink()
        (self.blobs / "lock").unlink()
        self.database.with_name("opstore.db.lock").unlink()
        turn_older(self.database, "0004")

    def content(self) -> dict[str, bytes]:
        """Return all files except the locks, by path."""
        root = self.database.parent
        names = [path for path in root.rglob("*") if path.is_file() and path.name not in ("lock", "opstore.db.lock")]
        return {str(path.relative_to(root)): path.read_bytes() for path in names}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Place:
    return Place(tmp_path / "other")


def refused(place: Place, error: type[errors.OpStoreError], saver: BaseSaver | None = None) -> errors.OpStoreError:
    """Return the error with which a server is refused; check that it changed nothing."""
    before = place.content()
    with pytest.raises(error) as raised:
        place.open(saver)
    assert place.content() == before
    assert raised.value.exit_code == (5 if error is errors.StoreInUse else 9)
    assert not any(word in raised.value.advice.split() for word in ("delete", "remove", "rm"))
    return raised.value


# --- a store that is whole --------------------------------------------------------------------------------------------


def test_database_and_blobs_carry_the_same_id_for_ever(place: Place) -> None:
    place.push(b"1")
    first = place.store_id
    place.push(b"2")
    with closing(Database(f"sqlite:///{place.database}")) as database:
        assert database.store_id() == first == place.store_id


def test_two_stores_have_two_ids(place: Place, other: Place) -> None:
    place.push(b"1")
    other.push(b"1")
    assert place.store_id != other.store_id


def test_a_store_can_be_moved(place: Place, tmp_path: Path) -> None:
    place.push(b"1", b"2")
    place.database.parent.rename(tmp_path / "moved")
    assert Place(tmp_path / "moved").pull() == b"2"


def test_a_store_can_be_copied_while_it_is_open(place: Place, tmp_path: Path) -> None:
    with closing(place.open()) as server:
        server.store.push("pca", b"1")
        shutil.copytree(place.database.parent, tmp_path / "copy")
        copy = Place(tmp_path / "copy")
        assert copy.push(b"2") == ["1.0.1"]
        assert server.store.pull("pca") == b"1"
    assert copy.pull() == b"2"


@pytest.mark.parametrize("blobs", ["claimed by the same store", "without an id"])
def test_a_store_from_before_store_ids_adopts_its_folder(place: Place, blobs: str) -> None:
    place.push(b"1", b"2")
    before = place.store_id
    place.forget_the_ids()
    if blobs != "without an id":
        (place.blobs / "store-id").write_text(f"{before}\n")  # as after the restore of a backup of the database
    assert place.pull() == b"2"
    assert len(place.store_id) == 32
    assert (place.store_id == before) == (blobs != "without an id")
    assert place.push(b"3") == ["1.0.2"]


def test_a_store_from_before_store_ids_without_versions_adopts_an_empty_folder(place: Place) -> None:
    place.open().close()
    place.forget_the_ids()
    assert place.push(b"1") == ["1.0.0"]


@pytest.mark.slow
def test_one_of_the_newest_blobs_is_enough_to_adopt_a_folder(place: Place) -> None:
    place.push(b"1", b"2", b"3")
    place.forget_the_ids()
    FileSaver(place.blobs).delete(digest_of(b"2"))
    FileSaver(place.blobs).delete(digest_of(b"3"))
    assert place.push(b"4") == ["1.0.3"]


# --- halves that do not belong together -------------------------------------------------------------------------------


def vanish(place: Place) -> None:
    place.database.unlink()


def become_empty(place: Place) -> None:
    place.database.write_bytes(b"")


def lose_all_tables(place: Place) -> None:
    with closing(sqlite3.connect(place.database)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize("lose", [vanish, become_empty, lose_all_tables])
@pytest.mark.parametrize("blobs", ["with an id", "without an id", "an id and no blob"])
def test_blobs_without_their_database_are_refused(place: Place, blobs: str, lose: Callable[[Place], None]) -> None:
    place.push(b"1")
    if blobs == "without an id":
        (place.blobs / "store-id").unlink()
    elif blobs == "an id and no blob":
        FileSaver(place.blobs).delete(digest_of(b"1"))
    lose(place)
    error = refused(place, errors.DatabaseLost)
    assert str(place.blobs) in error.text
    assert str(place.database) in error.text


def test_the_database_that_is_put_back_is_used_again(place: Place, tmp_path: Path) -> None:
    place.push(b"1")
    place.database.rename(tmp_path / "away")
    refused(place, errors.DatabaseLost)
    (tmp_path / "away").rename(place.database)
    assert place.push(b"2") == ["1.0.1"]


@pytest.mark.parametrize("table", ["version", "store", "op", "upload", "alembic_version"])
def test_a_database_without_one_of_its_tables_is_refused(place: Place, table: str) -> None:
    place.push(b"1")
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute(f"DROP TABLE {table}")
    reason = "its tables have no revision" if table == "alembic_version" else f"the table {table} is missing"
    assert reason in refused(place, errors.DatabaseDamaged).text


def test_a_database_without_its_id_is_refused(place: Place) -> None:
    place.push(b"1")
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("DELETE FROM store")
    assert "it has no store id" in refused(place, errors.DatabaseDamaged).text


@pytest.mark.parametrize("content", [b"not a database", random_bytes(9000)])
def test_a_file_that_is_no_database_is_refused(place: Place, content: bytes) -> None:
    place.push(b"1")
    place.database.write_bytes(content)
    refused(place, errors.DatabaseFailed)


def test_a_truncated_database_is_refused(place: Place) -> None:
    place.push(b"1")
    os.truncate(place.database, 3 * 4096)
    refused(place, errors.DatabaseFailed)


def test_a_database_of_another_program_is_refused_and_unchanged(place: Place) -> None:
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
    FileSaver(place.blobs)
    refused(place, errors.DatabaseDamaged)


def test_blobs_of_another_store_are_refused(place: Place, other: Place) -> None:
    place.push(b"1")
    other.push(b"1")
    error = refused(place, errors.StoreMismatch, FileSaver(other.blobs))
    assert {place.store_id, other.store_id, str(place.database), str(other.blobs)} <= set(
        error.text.replace(",", "").split()
    )


def test_an_older_database_beside_blobs_of_another_store_is_refused(place: Place, other: Place) -> None:
    place.push(b"1")
    place.forget_the_ids()
    other.push(b"2")
    error = refused(place, errors.StoreMismatch, FileSaver(other.blobs))
    assert "from before store ids" in error.text


@pytest.fixture
def earlier(place: Place, tmp_path: Path) -> Path:
    """A copy of the database that is three commits behind the store at `place`."""
    place.push(b"1", b"2")
    copy = tmp_path / "earlier.db"
    shutil.copy(place.database, copy)
    place.push(b"3", b"4", b"5")
    return copy


@pytest.mark.parametrize("record", ["with its lock file", "without its lock file"])
def test_an_earlier_copy_of_the_database_is_refused(place: Place, earlier: Path, record: str) -> None:
    if record == "without its lock file":
        place.database.with_name("opstore.db.lock").unlink()
    latest = place.database.read_bytes()
    shutil.copy(earlier, place.database)
    error = refused(place, errors.DatabaseDamaged)
    assert "2 " in error.text
    assert "5" in error.text
    place.database.write_bytes(latest)
    assert place.push(b"6") == ["1.0.5"]


def test_an_earlier_copy_is_used_once_the_records_of_the_later_one_are_deleted(place: Place, earlier: Path) -> None:
    shutil.copy(earlier, place.database)
    place.database.with_name("opstore.db.lock").unlink()
    (place.blobs / "position").unlink()
    assert place.push(b"6", b"7") == ["1.0.2", "1.0.3"]
    shutil.copy(earlier, place.database)
    refused(place, errors.DatabaseDamaged)


@pytest.mark.parametrize("content", few(1, [b"", b"7", b"one hundred thousand\n", b"0" * 19 + b"x\n", b"9" * 5000]))
def test_a_position_that_was_damaged_is_replaced(place: Place, content: bytes) -> None:
    place.push(b"1")
    (place.blobs / "position").write_bytes(content)
    assert place.push(b"2", b"3") == ["1.0.1", "1.0.2"]
    assert (place.blobs / "position").read_bytes()[:21] == b"%020d\n" % 3


@pytest.mark.parametrize("name", ["position", "store-id"])
@pytest.mark.parametrize("planted", few(1, ["a link", "a folder"]))
def test_a_record_that_is_no_file_is_named_by_its_path(place: Place, name: str, planted: str) -> None:
    place.push(b"1")
    path = place.blobs / name
    path.rename(place.blobs / "away")
    path.symlink_to("away") if planted == "a link" else path.mkdir()
    assert str(path) in refused(place, errors.StorageFailed).text
    path.unlink() if planted == "a link" else path.rmdir()
    (place.blobs / "away").rename(path)
    assert place.push(b"2") == ["1.0.1"]


def test_a_store_from_before_positions_gets_one_at_its_start(place: Place, earlier: Path) -> None:
    (place.blobs / "position").unlink()
    place.open().close()
    place.database.with_name("opstore.db.lock").unlink()
    shutil.copy(earlier, place.database)
    refused(place, errors.DatabaseDamaged)


def test_a_commit_succeeds_where_its_position_can_not_be_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("opstore_daemon.savers.position_file.PositionFile.record", fail)
    assert place.push(b"1", b"2") == ["1.0.0", "1.0.1"]
    assert place.pull() == b"2"


@pytest.mark.parametrize("kind", ["deleted", "emptied", "foreign", "of another size"])
def test_a_database_without_its_blobs_is_refused(place: Place, kind: str) -> None:
    place.push(b"1", b"2")
    shutil.rmtree(place.blobs)
    saver = FileSaver(place.blobs)
    if kind == "foreign":
        put(saver, b"of somebody else")
    elif kind == "of another size":
        for data in (b"1", b"2"):
            put(saver, data)
            path = place.blobs / "blobs" / digest_of(data).hex[:2] / digest_of(data).hex
            path.chmod(0o600)
            path.write_bytes(b"longer")
    elif kind == "deleted":
        shutil.rmtree(place.blobs)
    with pytest.raises(errors.BlobsLost, match=str(place.blobs)):
        place.open()
    assert not (place.blobs / "store-id").exists()


@pytest.mark.parametrize("text", few(2, ["../../etc\n", "", "\xff\x00\x1b[1m" * 20, "{id}0", "{upper}", "{id} {id}"]))
def test_a_damaged_id_is_refused_with_the_way_to_the_right_one(place: Place, text: str) -> None:
    place.push(b"1")
    file = place.blobs / "store-id"
    right = file.read_text().strip()
    file.write_text(text.format(id=right, upper=("a" + right[1:]).upper()), "latin-1")
    error = refused(place, errors.StoreIdDamaged)
    assert (str(file) in error.text, "Recovery" in error.advice) == (True, True)
    assert error.text.isprintable()
    assert len(error.text) < 500
    with closing(sqlite3.connect(place.database)) as database:
        (found,) = database.execute("SELECT id FROM store").fetchone()
    file.write_text(f"{found}\n")
    place.open().close()


def test_only_the_newest_hundred_versions_are_looked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_daemon.store.examination.EXAMINED", 2)
    place.push(b"1", b"2", b"3")
    (place.blobs / "store-id").unlink()
    sizes: list[Digest] = []

    class Counting(FileSaver):
        def size(self, digest: Digest) -> int:
            sizes.append(digest)
            raise errors.BlobNotFound(digest=digest)

    refused(place, errors.BlobsLost, Counting(place.blobs))
    assert sizes == [digest_of(b"3"), digest_of(b"2")]


def test_a_usual_start_lists_no_folder(place: Place) -> None:
    place.push(b"1")

    class Listing(FileSaver):
        def has_blobs(self) -> bool:
            raise AssertionError("it was listed")

    place.open(Listing(place.blobs)).close()


# --- one server at a time ---------------------------------------------------------------------------------------------


def test_a_second_server_on_the_same_files_is_refused_until_the_first_is_closed(place: Place) -> None:
    first = place.open()
    error = refused(place, errors.StoreInUse)
    assert error.text == f"the folder {place.blobs} is in use by {EARLIER_SERVER}"
    assert "close() the earlier server" in error.in_python("OpStoreServer()")
    first.close()
    place.open().close()


def test_a_second_server_on_the_same_database_is_refused_until_the_first_is_closed(place: Place) -> None:
    first = place.open(MemorySaver())
    with pytest.raises(errors.StoreInUse) as raised:
        place.open(MemorySaver())
    assert raised.value.text == f"the database {place.database} is in use by {EARLIER_SERVER}"
    assert "close() the earlier server" in raised.value.in_python("OpStoreServer()")
    first.close()
    with closing(Database(f"sqlite:///{place.database}")) as database:
        database.acquire()


def test_a_server_that_is_refused_releases_what_it_had(place: Place, other: Place) -> None:
    first = place.open()
    with pytest.raises(errors.StoreInUse, match=str(place.database)):
        place.open(FileSaver(other.blobs))
    with closing(other.open()):
        pass
    first.close()
    place.push(b"1")
    (place.blobs / "store-id").write_text(STORE_ID_OF_ANOTHER)
    for _ in range(2):
        refused(place, errors.StoreMismatch)


def test_one_folder_for_two_databases_is_refused(place: Place, other: Place) -> None:
    with closing(place.open()) as server:
        server.store.push("pca", b"1")
        refused(other, errors.StoreInUse, FileSaver(place.blobs))
    refused(other, errors.DatabaseLost, FileSaver(place.blobs))
    assert place.pull() == b"1"


@pytest.mark.parametrize("saver", [MemorySaver(), FileSaver], ids=["memory", "file"])
def test_one_saver_object_for_two_servers_is_refused(
    saver: MemorySaver | type[FileSaver], place: Place, other: Place
) -> None:
    shared: BaseSaver = saver if isinstance(saver, MemorySaver) else saver(place.blobs)
    with closing(OpStoreServer(shared)), pytest.raises(errors.StoreInUse, match=EARLIER_SERVER):
        OpStoreServer(shared)
    OpStoreServer(shared).close()


def test_drafts_are_not_swept_by_a_second_server(place: Place) -> None:
    with closing(place.open()) as server:
        upload = server.store.create_upload("local", 10).upload
        with pytest.raises(errors.StoreInUse):
            OpStoreServer(FileSaver(place.blobs))
        assert list(FileSaver(place.blobs).drafts()) == [upload]


# --- a database in memory ---------------------------------------------------------------------------------------------


def test_a_database_in_memory_does_not_claim_a_folder(place: Place) -> None:
    with closing(OpStoreServer(FileSaver(place.blobs))) as server:
        server.store.push("pca", b"1")
    assert not (place.blobs / "store-id").exists()
    with closing(OpStoreServer(FileSaver(place.blobs))) as server:
        server.store.push("pca", b"2")
        assert sorted(FileSaver(place.blobs)) == sorted([digest_of(b"1"), digest_of(b"2")])


def test_a_database_in_memory_beside_a_folder_of_a_store_is_refused(place: Place) -> None:
    place.push(b"1")
    with pytest.raises(errors.DatabaseLost, match="the database is in memory"):
        OpStoreServer(FileSaver(place.blobs))
    assert place.pull() == b"1"


def push_refused(server: OpStoreServer, data: bytes) -> None:
    with pytest.raises(errors.OpNotFound):
        server.store.push("pca", data, valid_with=["nowhere"])


def test_a_database_in_memory_deletes_nothing_of_a_folder_that_was_not_empty(place: Place) -> None:
    saver = FileSaver(place.blobs)
    foreign = put(saver, b"of somebody else")
    draft = saver.draft("0" * 32)
    draft.append(b"half")
    draft.close()
    with closing(OpStoreServer(saver)) as server:
        push_refused(server, b"of somebody else")
        push_refused(server, b"of somebody else" * 100_000)
    assert foreign in saver
    assert list(saver.drafts()) == ["0" * 32]


def test_a_database_in_memory_deletes_its_own_refused_bytes(place: Place) -> None:
    saver = FileSaver(place.blobs)
    with closing(OpStoreServer(saver)) as server:
        push_refused(server, b"refused")
        assert not saver.has_blobs()


# --- savers of an operator's own --------------------------------------------------------------------------------------


class Plain(BaseSaver):
    """A saver that knows nothing of store ids and locks."""

    def __init__(self) -> None:
        self.inner = MemorySaver()

    def draft(self, upload: str) -> Draft:
        return self.inner.draft(upload)

    def drafts(self):  # type: ignore[no-untyped-def]
        return self.inner.drafts()

    def staged_size(self, upload: str) -> int:
        return self.inner.staged_size(upload)

    def discard(self, upload: str) -> None:
        self.inner.discard(upload)

    def open(self, digest: Digest) -> BinaryIO:
        return self.inner.open(digest)

    def __contains__(self, digest: object) -> bool:
        return digest in self.inner

    def size(self, digest: Digest) -> int:
        return self.inner.size(digest)

    def published_at(self, digest: Digest) -> float:
        return self.inner.published_at(digest)

    def delete(self, digest: Digest) -> None:
        self.inner.delete(digest)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.inner)

    @property
    def collection_lock(self) -> CollectionLock:
        return self.inner.collection_lock

    def trash(self, digest: Digest) -> None:
        self.inner.trash(digest)

    def trashed(self):  # type: ignore[no-untyped-def]
        return self.inner.trashed()

    def purge(self, digest: Digest) -> None:
        self.inner.purge(digest)


def test_a_saver_that_knows_nothing_of_ids_works(place: Place) -> None:
    saver = Plain()
    for number in range(3):
        with closing(place.open(saver)) as server:
            assert server.store.push("pca", b"%d" % number).version == f"1.0.{number}"
            push_refused(server, b"refused")
            assert digest_of(b"refused") not in saver
    place.database.unlink()
    assert "Plain" in refused(place, errors.DatabaseLost, saver).text


# --- crashes ----------------------------------------------------------------------------------------------------------

CRASHES = """
import json, os, shutil, sys
from pathlib import Path
from sqlalchemy.engine.default import DefaultDialect
from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.sqlite import connections, database_file
from opstore_daemon.savers import FileSaver, MemorySaver
import alembic.command, alembic.config

OpStoreServer(MemorySaver()).close()  # no child has to import what opening a server imports late
folder, old = Path(sys.argv[1]), sys.argv[2] == "old"
at = seen = None

def step():
    # Crash if this is the step `at`; record it in `seen` if it finds another state than the one before.
    global passed, content
    if at is None and seen is None:
        return
    if passed == at:
        os._exit(9)
    if seen is not None:
        found = {str(path): path.is_file() and path.read_bytes() for path in place.rglob("*")}
        if found != content:
            seen.append(passed)
        content = found
    passed += 1

def stepping(call):
    def stepped(*args, **kwargs):
        step()
        found = call(*args, **kwargs)
        step()
        return found
    return stepped

for name in ("mkdir", "rename", "fsync", "pwrite"):
    setattr(os, name, stepping(getattr(os, name)))
for owner, name in (
    (connections.Connections, "checkpoint"),
    (database_file.DatabaseFile, "create"),
    (DefaultDialect, "do_commit"),
):
    setattr(owner, name, stepping(getattr(owner, name)))

def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def start():
    OpStoreServer(FileSaver(place / "blobs"), f"sqlite:///{place / 'opstore.db'}")

def check():
    server = OpStoreServer(FileSaver(place / "blobs"), f"sqlite:///{place / 'opstore.db'}")
    assert server.store.push("pca", b"2").version == ("1.0.1" if old else "1.0.0")
    assert not old or server.store.pull("pca@1.0.0") == b"1"
    server.close()

def look():
    global seen, content, passed
    seen, content, passed = [], None, 0
    start()
    Path(sys.argv[1], "seen").write_text(json.dumps([*seen, passed]))

def crash():
    global at, passed
    at, passed = step_of_crash, 0
    start()

def prepare(name):
    global place
    place = folder / name
    shutil.copytree(folder / "before", place) if old else place.mkdir()

prepare("whole")
assert child(look) == 0
steps = json.loads((folder / "seen").read_text())
for step_of_crash in [*steps[int(sys.argv[4]):-1:int(sys.argv[3])], steps[-1]]:
    prepare(str(step_of_crash))
    assert child(crash) == (0 if step_of_crash == steps[-1] else 9)
    if child(check) != 0:
        sys.exit(f"no start after a crash at step {step_of_crash}")
print(len(steps))
"""


@pytest.mark.parametrize("stride", [(19, 4), pytest.param((1, 0), marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("state", few(1, ["new", "old"]))
def test_a_crash_between_any_two_steps_of_a_start_leads_to_a_start_that_works(
    tmp_path: Path, state: str, stride: tuple[int, int]
) -> None:
    if state == "old":
        before = Place(tmp_path / "before")
        before.push(b"1")
        before.forget_the_ids()
    ran = subprocess.run(
        [sys.executable, "-c", CRASHES, tmp_path, state, *map(str, stride)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10


def test_the_oldest_schema_gets_an_id(tmp_path: Path) -> None:
    place = Place(tmp_path / "oldest")
    create_older(place.database, "0001")
    assert place.push(b"1") == ["1.0.0"]
    assert (place.database.parent / f"opstore.db.before-{HEAD}-at-0001").exists()
