"""The check of a store: what it finds, that it finds nothing else, and how much it does at a time."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.records import Finding, FsckPage, FsckReport
from opstore_daemon.protocol.subsets import Subset
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.store.maintenance import blob_checks, journal_checks, pages, storage_checks, version_checks
from opstore_daemon.store.maintenance.pages import FsckOptions, Pace
from opstore_daemon.store.places import POLL
from tests.support import stored_blob as anywhere
from tests.support.damage import DAMAGES, KINDS, SEEN_BY_READING, blob_path
from tests.support.figures import few
from tests.support.places import Place
from tests.support.random_bytes import random_bytes
from tests.support.servers import open_server
from tests.support.sqlite_database import as_sqlite
from tests.support.stored_blob import stored_blob

OTHER = digest_of(b"other")


def fill(server: OpStoreServer) -> None:
    """Store something of each kind."""
    store = server.store
    store.push("pca", b"first", tags=["stable"], labels={"run": "1"})
    store.push("pca", b"other", bump="minor")
    store.push("forest", b"trees", valid_with=["pca"])
    store.register("cleaner", subversions="aaaa.bbbb.cccc")
    store.register_pipeline("churn", ["pca", "forest"])
    store.yank("pca@1.0.0", "drift")


@pytest.fixture
def filled(server: OpStoreServer) -> OpStoreServer:
    fill(server)
    return server


def all_pages(server: OpStoreServer, options: FsckOptions = FsckOptions()) -> Iterator[FsckPage]:  # noqa: B008
    cursor: str | None = ""
    while cursor is not None:
        with closing(server.store.fsck_page(cursor or None, options)) as steps:
            (page,) = [page for page in steps if page is not None]
        yield page
        cursor = page.next_cursor


def only(report: FsckReport) -> Finding:
    (finding,) = report.findings
    assert not report.clean
    assert not report
    return finding


def test_a_store_is_clean(filled: OpStoreServer) -> None:
    report = filled.store.fsck(read_data=True)
    assert (report.clean, bool(report), report.findings) == (True, True, ())
    assert (report.blobs, report.bytes_read, report.garbage) == (3, 15, 0)
    assert filled.store.fsck().bytes_read == 0
    assert repr(report) == "<FsckReport clean, 3 blobs>"


def test_a_statement_is_built_once_however_many_versions_the_ops_have(
    filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.store.fsck()
    # Each is kept for the next check: built for each number of versions, they took hundreds of MiB.
    monkeypatch.setattr(version_checks, "_first", None)
    for number in range(3):
        for op in ("pca", "scaler"):
            filled.store.push(op, b"%d" % number)
        assert filled.store.fsck().clean


def test_a_store_in_memory_is_clean(memory_server: OpStoreServer) -> None:
    fill(memory_server)
    report = memory_server.store.fsck(read_data=True)
    assert (report.findings, report.blobs, report.bytes_read) == ((), 3, 15)


def test_an_empty_store_is_clean(server: OpStoreServer) -> None:
    assert server.store.fsck(read_data=True).to_dict() == {
        "clean": True,
        "findings": [],
        "more": 0,
        "blobs": 0,
        "bytes_read": 0,
        "garbage": 0,
        "garbage_size": 0,
    }


# --- blobs ------------------------------------------------------------------------------------------------------------


IN_FOLDER = ["gone", "a folder", "a link"]
"""Damage that only a folder can have, or where `fsck` also reports the record of a lost object until it is purged."""
ANYWHERE = [how for how in anywhere.DAMAGES if how not in IN_FOLDER]


@pytest.mark.parametrize("how", ANYWHERE)
def test_a_damaged_blob_is_found_and_healed_by_a_push(filled: OpStoreServer, how: str) -> None:
    anywhere.DAMAGES[how](stored_blob(filled, OTHER), stored_blob(filled, digest_of(b"trees")))
    assert_is_found_and_healed_by_a_push(filled, how)


@pytest.mark.local
@pytest.mark.parametrize("how", IN_FOLDER)
def test_a_file_that_is_gone_or_something_else_is_found_and_healed_by_a_push(
    filled: OpStoreServer, tmp_path: Path, how: str
) -> None:
    DAMAGES[how](blob_path(tmp_path / "blobs", OTHER), blob_path(tmp_path / "blobs", digest_of(b"trees")))
    assert_is_found_and_healed_by_a_push(filled, how)


def assert_is_found_and_healed_by_a_push(filled: OpStoreServer, how: str) -> None:
    quick, thorough = filled.store.fsck(), filled.store.fsck(read_data=True)
    assert quick.clean == (how in SEEN_BY_READING)
    finding = only(thorough)
    assert (finding.kind, finding.what) == (KINDS[how], OTHER)
    assert ([str(each) for each in finding.versions], finding.versions_count) == (["pca@1.1.0"], 1)
    assert (finding.advice, finding.marked) == ("push the same bytes again: opstore push pca FILE", False)
    with pytest.raises(errors.BlobDamaged):
        filled.store.pull("pca")
    assert not filled.store.push("pca", b"other").created
    assert filled.store.pull("pca") == b"other"
    assert filled.store.fsck(read_data=True).clean


@pytest.mark.parametrize("how", ANYWHERE)
def test_repair_marks_a_damaged_blob_and_a_push_heals_it(filled: OpStoreServer, how: str) -> None:
    anywhere.DAMAGES[how](stored_blob(filled, OTHER), stored_blob(filled, digest_of(b"trees")))
    assert_is_marked_and_healed_by_a_push(filled, how)


@pytest.mark.local
@pytest.mark.parametrize("how", IN_FOLDER)
def test_repair_marks_a_blob_whose_file_is_gone_or_something_else(
    filled: OpStoreServer, tmp_path: Path, how: str
) -> None:
    path = blob_path(tmp_path / "blobs", OTHER)
    DAMAGES[how](path, blob_path(tmp_path / "blobs", digest_of(b"trees")))
    assert_is_marked_and_healed_by_a_push(filled, how)
    assert path.is_file()


def assert_is_marked_and_healed_by_a_push(filled: OpStoreServer, how: str) -> None:
    finding = only(filled.store.fsck(read_data=True, repair=True))
    assert (finding.kind, finding.marked) == (KINDS[how], True)
    assert OTHER not in filled.store.saver
    assert len(list(filled.store.saver.quarantined())) == (how != "gone")
    again = only(filled.store.fsck())
    assert (again.kind, again.marked) == ("missing", True)
    with pytest.raises(errors.BlobDamaged, match="as fsck found"):
        filled.store.pull("pca")
    assert not filled.store.push("pca", b"other").created
    assert filled.store.pull("pca") == b"other"
    assert filled.store.fsck(read_data=True).clean


def test_the_versions_of_a_damaged_blob_are_listed(filled: OpStoreServer) -> None:
    for number in range(pages.MAX_VERSIONS + 5):
        filled.store.push(f"copy{number:02}", b"first", format="folder")
    stored_blob(filled, digest_of(b"first")).delete()
    finding = only(filled.store.fsck())
    assert finding.versions_count == pages.MAX_VERSIONS + 6
    assert len(finding.versions) == pages.MAX_VERSIONS
    assert str(finding.versions[0]) == "copy24@1.0.0"
    assert finding.advice == "push the same bytes again: opstore push copy24 FOLDER"


def test_a_push_of_older_bytes_is_advised_for_their_version_only(filled: OpStoreServer) -> None:
    stored_blob(filled, digest_of(b"first")).write(b"fir")
    advice = only(filled.store.fsck()).advice
    subversions = filled.store.show("pca@1.0.0").subversions
    assert advice == f"push the same bytes again: opstore push pca FILE --subversions {subversions}"
    with pytest.raises(errors.VersionConflict):
        filled.store.push("pca", b"wrong", subversions=subversions)
    healed = filled.store.push("pca", b"first", subversions=subversions)
    assert (healed.created, healed.version) == (False, "1.0.0")
    assert filled.store.show("pca").version == "1.1.0"
    assert filled.store.fsck(read_data=True).clean


def test_a_blob_that_can_not_be_read_is_reported_and_left(
    filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_saver: BaseSaver, digest: str) -> None:
        raise errors.StorageFailed(reason="Input/output error while reading a blob")

    monkeypatch.setattr(type(filled.store.saver), "open", refuse)
    report = filled.store.fsck(read_data=True, repair=True)
    assert {finding.kind for finding in report} == {"unreadable"}
    assert [finding.marked for finding in report] == [False] * 3
    assert "Input/output error" in report[0].observed
    monkeypatch.undo()
    assert filled.store.fsck(read_data=True).clean


@pytest.mark.parametrize("parts", few(1, [1, 3, 7]))
def test_the_parts_of_a_subset_read_each_blob_once(memory_server: OpStoreServer, parts: int) -> None:
    filled = memory_server
    fill(filled)
    for number in range(40):
        filled.store.push("pca", b"%05d" % number)
    reports = [filled.store.fsck(subset=f"{part}/{parts}") for part in range(1, parts + 1)]
    assert sum(report.bytes_read for report in reports) == 5 * 43
    assert {report.blobs for report in reports} == {43}, "each run looks for all of them"
    totals = [next(all_pages(filled, FsckOptions(subset=each))).bytes_total for each in subsets(parts)]
    assert totals == [report.bytes_read for report in reports]


def subsets(parts: int) -> list[Subset]:
    return [Subset.parse(f"{part}/{parts}") for part in range(1, parts + 1)]


def test_blobs_without_a_version_are_counted_and_no_finding(filled: OpStoreServer) -> None:
    data = b"of a crash between publication and commit"
    filled.store.uploads.prepare_small(data, digest_of(data))()
    report = filled.store.fsck(read_data=True)
    assert (report.clean, report.garbage, report.garbage_size) == (True, 1, len(data))


def test_bytes_that_a_push_replaces_while_they_are_read_are_no_finding(
    filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, kind = stored_blob(filled, OTHER), type(filled.store.saver)
    anywhere.DAMAGES["a bit"](blob, blob)
    opened, reads = kind.open, []

    def open_then_push(saver: BaseSaver, digest: Digest) -> object:
        file = opened(saver, digest)
        reads.append(digest)
        if digest == OTHER and reads.count(digest) == 1:
            filled.store.push("pca", b"other")
        return file

    monkeypatch.setattr(kind, "open", open_then_push)
    report = filled.store.fsck(read_data=True, repair=True)
    assert report.clean
    assert reads.count(OTHER) == 2
    assert list(filled.store.saver.quarantined()) == []
    assert filled.store.pull("pca") == b"other"


# --- the storage ------------------------------------------------------------------------------------------------------


def _touch(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    return path


FOREIGN: dict[str, Callable[[Path], Path]] = {
    "a file at the top": lambda root: _touch(root / "notes.txt"),
    "a file among the folders": lambda root: _touch(root / "blobs" / "ab"),
    "a folder with another name": lambda root: _touch(root / "blobs" / "other" / "file").parent,
    "a file among the blobs": lambda root: _touch(root / "blobs" / "cd" / "model.pkl"),
    "a blob in another folder": lambda root: _touch(root / "blobs" / "cd" / ("ab" * 32)),
    "a file among the drafts": lambda root: _touch(root / "staging" / "notes.txt"),
}


@pytest.mark.local
@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_the_stores_is_found(filled: OpStoreServer, tmp_path: Path, what: str) -> None:
    path = FOREIGN[what](tmp_path / "blobs")
    finding = only(filled.store.fsck())
    assert (finding.kind, finding.what) == ("foreign", str(path))
    assert finding.observed.endswith("that is not the store's")
    assert finding.advice


@pytest.mark.local
def test_something_else_in_the_place_of_a_blob_that_nobody_needs_is_foreign(
    filled: OpStoreServer, tmp_path: Path
) -> None:
    path = blob_path(tmp_path / "blobs", digest_of(b"nobody's"))
    path.mkdir(parents=True)
    finding = only(filled.store.fsck())
    assert (finding.kind, finding.observed) == ("foreign", "in its place is a folder")


@pytest.mark.local
@pytest.mark.parametrize(
    ("folder", "mode", "observed"),
    [
        ("blobs", 0o755, None),
        ("", 0o755, None),
        ("", 0o777, "its mode is 0777: other users can replace what is in it"),
    ],
)
def test_folders_that_other_users_can_reach_are_found(
    filled: OpStoreServer, tmp_path: Path, folder: str, mode: int, observed: str | None
) -> None:
    path = tmp_path / "blobs" / folder
    path.chmod(mode)
    assert [finding.observed for finding in filled.store.fsck()] == [] if observed is None else [observed]
    (tmp_path / "blobs").chmod(0o755)
    (tmp_path / "blobs" / "blobs").chmod(0o750)
    found = [finding for finding in filled.store.fsck() if finding.what.endswith("/blobs/blobs")]
    assert [(each.kind, each.observed) for each in found] == [
        ("permissions", "its mode is 0750: other users can enter it")
    ]
    assert found[0].advice == f"chmod 700 {tmp_path / 'blobs' / 'blobs'}"


@pytest.mark.local
@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_blob_that_the_daemon_may_not_read_is_found_without_reading(filled: OpStoreServer, tmp_path: Path) -> None:
    path = blob_path(tmp_path / "blobs", digest_of(b"other"))
    path.chmod(0)
    finding = only(filled.store.fsck(repair=True))
    assert (finding.kind, finding.marked) == ("unreadable", False)
    path.chmod(stat.S_IRUSR)
    assert filled.store.fsck().clean


@pytest.mark.local
def test_leftovers_of_a_crash_are_found(filled: OpStoreServer, tmp_path: Path) -> None:
    _touch(tmp_path / "blobs" / "store-id.new")
    _touch(tmp_path / "blobs" / "staging" / f"{'a' * 32}.spare")
    report = filled.store.fsck()
    assert [finding.kind for finding in report] == ["leftover", "leftover"]


@pytest.mark.local
def test_storage_of_another_store_is_found(filled: OpStoreServer, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "store-id").write_text("f" * 32 + "\n")
    finding = only(filled.store.fsck())
    assert (finding.kind, finding.what) == ("identity", str(tmp_path / "blobs"))
    assert "f" * 32 in finding.observed


# --- the database -----------------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[str, str, str]] = {
    "a position is missing": ("DELETE FROM journal WHERE position = 1", "journal", "position 1"),
    "positions are missing": (
        "UPDATE counter SET position = position + 3; UPDATE op SET changed = changed",
        "journal",
        "positions 9 to 11",
    ),
    "a position is beyond the last": (
        "INSERT INTO journal (position, at, kind) VALUES (99, 0, 'tag')",
        "journal",
        "position 99",
    ),
    "the counter has another time": ("UPDATE counter SET at = at - 1", "journal", "position 8"),
    "a sequence is missing": (
        "UPDATE op SET last_sequence = 4 WHERE name = 'pca'",
        "sequence",
        "pca, sequences 3 to 4",
    ),
    "a sequence is beyond the last": (
        "UPDATE op SET last_sequence = 1 WHERE name = 'pca'",
        "sequence",
        "pca, sequence 2",
    ),
    "a hash has two numbers": (
        "UPDATE version SET major_number = 2 WHERE sequence = 2 AND major_number = 1",
        "number",
        "pca@1.0.0",
    ),
    "a row refers to nothing": ("UPDATE tag SET version_id = 99", "reference", "tag 1"),
    "a link names a version of another op": ("UPDATE link SET upstream_version_id = 3", "row", "position 5, pca"),
    "a link has other numbers": ("UPDATE link SET upstream_minor = 7", "row", "position 5, pca"),
    "a tag names a version of another op": ("UPDATE tag SET version_id = 3", "row", "position 2, stable"),
    "a link of a removed version": ("UPDATE version SET removed_position = 8 WHERE id = 3", "row", "position 5, pca"),
    "a tag of a removed version": ("UPDATE version SET removed_position = 8 WHERE id = 1", "row", "position 2, stable"),
    "two sizes of a blob": (
        "UPDATE version SET digest = (SELECT digest FROM version WHERE id = 2), size = 6 WHERE id = 1",
        "row",
        digest_of(b"other"),
    ),
    "a digest that is none": ("UPDATE version SET digest = 'sha256:0' WHERE id = 1", "row", "pca@1.0.0"),
}

IN_POSTGRESQL = {"tag 1": "tag 2 1 stable", "pca@1.0.0": "pca@2.1.0"}
"""The names of these in PostgreSQL, which has no rowid and may name either of two versions with the same hash."""


@pytest.mark.parametrize("what", few(4, BROKEN))
def test_rows_that_contradict_each_other_are_found(
    filled: OpStoreServer, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    statements, kind, about = BROKEN[what]
    if place.is_local:
        with closing(sqlite3.connect(tmp_path / "opstore.db")) as connection:  # without foreign keys
            connection.executescript(statements)
    else:
        with filled.db.engine.begin() as transaction:
            transaction.exec_driver_sql("SET LOCAL session_replication_role = replica")  # without foreign keys
            transaction.exec_driver_sql(statements)
    report = filled.store.fsck()
    abouts = {about, *({IN_POSTGRESQL.get(about)} if not place.is_local else ())}
    assert any(finding.kind == kind and finding.what in abouts for finding in report), report.findings
    assert all(finding.advice for finding in report)
    make_pages_small(monkeypatch)
    assert {finding.kind for finding in filled.store.fsck()} == {finding.kind for finding in report}


@pytest.mark.local
@pytest.mark.parametrize("what", few(1, ["ix_version_digest", "version", "link"]))
def test_a_damaged_page_of_the_database_is_found(tmp_path: Path, what: str) -> None:
    with closing(open_server(tmp_path)) as server:
        fill(server)
        for number in range(100):
            server.store.push("pca", b"%d" % number, message="x" * 1000)
        server.db.checkpoint()
        path = tmp_path / "opstore.db"
        with closing(sqlite3.connect(path)) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (what,)).fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        with path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * 100)
        report = server.store.fsck()
    assert report.findings[0].kind == "database"
    assert report.findings[0].what == str(path)
    assert {"database"} == {finding.kind for finding in report}, "the other checks say that they could not go on"
    assert all("Recovery in the documentation" in finding.advice for finding in report)
    assert len({(finding.what, finding.observed) for finding in report}) == len(report), "each is said once"


# --- in pages ---------------------------------------------------------------------------------------------------------


def make_pages_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_checks, "ENTRIES", 3)
    monkeypatch.setattr(version_checks, "VERSIONS", 2)
    monkeypatch.setattr(version_checks, "OPS", 2)
    monkeypatch.setattr(blob_checks, "BLOBS", 2)
    monkeypatch.setattr(storage_checks, "ENTRIES", 1)
    monkeypatch.setattr(storage_checks, "BATCH", 1)


def test_small_pages_find_the_same(filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = [b"%05d" % number for number in range(len(anywhere.DAMAGES))]
    for number, data in enumerate(blobs):
        filled.store.push(f"op{number % 4}", data)
    make_pages_small(monkeypatch)
    report = filled.store.fsck(read_data=True)
    assert (report.clean, report.blobs) == (True, len(blobs) + 3)
    for data, damage in zip(blobs, anywhere.DAMAGES.values(), strict=True):
        damage(stored_blob(filled, digest_of(data)), stored_blob(filled, OTHER))
    found = {finding.what: finding.kind for finding in filled.store.fsck(read_data=True)}
    assert found == {digest_of(data): KINDS[how] for data, how in zip(blobs, anywhere.DAMAGES, strict=True)}


def test_a_page_ends_after_many_bytes(filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_checks, "BYTES", 5)
    read = [page.bytes_read for page in all_pages(filled, FsckOptions(read_data=True)) if page.check == "blobs"]
    assert read == [5, 5, 5, 0]


def test_memory_does_not_grow_with_a_blob(filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_checks, "READ_SIZE", 1000)
    data = random_bytes(100_000)
    filled.store.push("big", data)
    sizes: list[int] = []
    kind = type(filled.store.saver)
    opened = kind.open

    class Counted:
        def __init__(self, file: object) -> None:
            self.file = file

        def readinto(self, buffer: memoryview) -> int:
            sizes.append(len(buffer))
            count: int = self.file.readinto(buffer)  # type: ignore[attr-defined]
            return count

        def close(self) -> None:
            self.file.close()  # type: ignore[attr-defined]

    monkeypatch.setattr(kind, "open", lambda saver, digest: Counted(opened(saver, digest)))
    assert filled.store.fsck(read_data=True).bytes_read == 100_015
    assert max(sizes) <= 1000


@pytest.mark.local
def test_a_page_holds_no_transaction_while_it_reads_bytes(
    filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = as_sqlite(filled.db)._readers
    assert pool is not None
    held: list[int] = []
    opened = FileSaver.open

    def look(saver: FileSaver, digest: Digest) -> object:
        held.append(pool.pool.checkedout())  # type: ignore[attr-defined]
        assert not as_sqlite(filled.db)._lock.locked()
        return opened(saver, digest)

    monkeypatch.setattr(FileSaver, "open", look)
    assert filled.store.fsck(read_data=True).clean
    assert held == [0, 0, 0]


@pytest.mark.parametrize(
    "cursor",
    few(
        2,
        [
            "x",
            "blobs:",
            "blobs:x",
            "journal:0",
            "journal:x",
            "versions:1",
            "storage:x",
            "storage:../..",
            "database:1",
            ":",
        ],
    ),
)
def test_what_is_no_cursor_is_refused(filled: OpStoreServer, cursor: str) -> None:
    if cursor == "blobs:":
        cursor = "blobs:sha256:"
    with pytest.raises(errors.InvalidRequest):
        filled.store.fsck_page(cursor, FsckOptions())


def test_a_check_holds_a_place_of_the_long_reads(filled: OpStoreServer) -> None:
    steps = filled.store.fsck_page(None, FsckOptions())
    assert filled.store.reads.running == 1
    steps.close()
    steps.close()
    assert filled.store.reads.running == 0


def test_a_page_ends_when_its_client_is_gone(filled: OpStoreServer) -> None:
    for cursor in (None, "blobs", "storage"):
        with closing(filled.store.fsck_page(cursor, FsckOptions(read_data=True), lambda: True)) as steps:
            assert [page for page in steps if page is not None] == []
    assert filled.store.reads.running == 0


@pytest.mark.local
def test_findings_beyond_a_limit_are_counted(
    filled: OpStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_FINDINGS", 2)
    for number in range(5):
        _touch(tmp_path / "blobs" / f"file{number}")
    report = filled.store.fsck()
    assert len(report) == 2
    assert report[1].observed.endswith("(3 more like these are not listed)")


def test_a_rate_spreads_the_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(1000, clock=lambda: now[0], sleep=sleep)
    for _ in range(4):
        list(pace.waits(500))
    assert now[0] == pytest.approx(2.0)
    assert max(slept) <= POLL
    list(Pace(None, clock=lambda: now[0], sleep=sleep).waits(10**12))
    assert now[0] == pytest.approx(2.0)


def test_a_page_reads_at_most_a_second_at_its_rate(filled: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "waits", lambda *_: iter(()))
    read = [page.bytes_read for page in all_pages(filled, FsckOptions(read_data=True, rate=5)) if page.check == "blobs"]
    assert read == [5, 5, 5, 0]


def test_a_saver_with_the_defaults_can_be_checked() -> None:
    class Plain(MemorySaver):
        examine, quarantine = BaseSaver.examine, BaseSaver.quarantine

    with closing(OpStoreServer(Plain())) as server:
        fill(server)
        assert server.store.fsck(read_data=True).clean
        server.store.saver.delete(digest_of(b"other"))
        assert only(server.store.fsck(repair=True)).kind == "missing"
        server.store.push("pca", b"other")
        assert server.store.fsck(read_data=True).clean
