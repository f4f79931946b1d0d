"""Marks of damaged blobs: what they refuse, and what heals a blob and deletes its mark."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, update

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import DamagedBlob, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.operations.ingest import LOCAL
from opstore_daemon.store.reports.folder import folder_listing
from tests.daemon.page.stores import folder_bytes
from tests.support.damage import DAMAGES, blob_path
from tests.support.figures import few
from tests.support.new_version import new_version
from tests.support.statements import counted
from tests.support.stored_blob import stored_blob

DATA = b"the bytes of pca"
DIGEST = digest_of(DATA)


@pytest.fixture
def damaged(server: OpStoreServer) -> OpStoreServer:
    """Return a store whose op pca has one version, with a damaged blob that is marked."""
    server.store.push("pca", DATA)
    blob = stored_blob(server, DIGEST)
    blob.write(b"T" + DATA[1:])
    assert server.store.fsck(read_data=True, repair=True)[0].marked
    assert marks(server) == 1
    return server


def marks(server: OpStoreServer) -> int:
    with server.db.read() as connection:
        count: int = connection.execute(select(func.count()).select_from(DamagedBlob)).scalar_one()
    return count


@pytest.mark.local
def test_a_marked_blob_is_not_served_even_if_something_is_in_its_place(damaged: OpStoreServer, tmp_path: Path) -> None:
    blob_path(tmp_path / "blobs", DIGEST).write_bytes(DATA)
    for part in (None, (0, 3)):
        with pytest.raises(errors.BlobDamaged, match="as fsck found"):
            damaged.store.read(damaged.store.show("pca"), part)


@pytest.mark.local
def test_a_blob_that_was_restored_by_hand_is_healed_by_a_repair(damaged: OpStoreServer, tmp_path: Path) -> None:
    blob_path(tmp_path / "blobs", DIGEST).write_bytes(DATA)
    (finding,) = damaged.store.fsck()
    assert (finding.kind, finding.advice) == ("healed", "opstore fsck --repair removes the mark")
    assert damaged.store.fsck(repair=True).clean
    assert (damaged.store.fsck().clean, marks(damaged)) == (True, 0)
    assert damaged.store.pull("pca") == DATA


@pytest.mark.local
def test_wrong_bytes_that_were_restored_by_hand_stay_marked(damaged: OpStoreServer, tmp_path: Path) -> None:
    blob_path(tmp_path / "blobs", DIGEST).write_bytes(DATA[:-1] + b"!")
    (finding,) = damaged.store.fsck(repair=True)
    assert (finding.kind, finding.marked, marks(damaged)) == ("damaged", True, 1)


@pytest.mark.parametrize("recorded", few(1, [0, len(DATA) - 1, len(DATA) + 1]))
@pytest.mark.parametrize("read_data", [False, True])
def test_intact_bytes_stay_where_they_are_if_their_size_in_the_database_is_wrong(
    server: OpStoreServer, recorded: int, read_data: bool
) -> None:
    server.store.push("pca", DATA)
    with server.db.write() as connection:
        connection.execute(update(Version).values(size=recorded))
    (finding,) = server.store.fsck(read_data=read_data, repair=True)
    assert (finding.kind, finding.marked, finding.advice) == ("row", False, server.db.advice)
    assert "its bytes are intact" in finding.observed
    assert stored_blob(server, DIGEST).read() == DATA
    assert marks(server) == 0


def test_a_missing_blob_that_is_marked_is_described_once(server: OpStoreServer) -> None:
    server.store.push("pca", DATA)
    stored_blob(server, DIGEST).delete()
    assert [finding.observed for finding in server.store.fsck(repair=True)] == ["it is gone"]
    (finding,) = server.store.fsck()
    assert finding.observed.startswith("it is gone, as was found on ")


@pytest.mark.local
def test_a_marked_blob_makes_no_version_by_its_digest(damaged: OpStoreServer, tmp_path: Path) -> None:
    blob_path(tmp_path / "blobs", DIGEST).write_bytes(DATA)
    with pytest.raises(errors.BlobNotFound):
        damaged.store.add_version("other", new_version(digest=DIGEST), LOCAL)


def test_a_push_that_is_refused_heals_all_the_same(damaged: OpStoreServer) -> None:
    damaged.store.yank("pca@1.0.0", "drift")
    with pytest.raises(errors.BytesYanked):
        damaged.store.push("pca", DATA)
    assert marks(damaged) == 0
    assert damaged.store.fsck(read_data=True).clean


@pytest.mark.local
def test_a_push_whose_publication_fails_heals_nothing(
    damaged: OpStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = blob_path(tmp_path / "blobs", DIGEST)
    path.write_bytes(b"wrong")

    def refuse(*_: object) -> None:
        raise errors.StorageFull(reason="No space left on device")

    monkeypatch.setattr(damaged.store.uploads, "prepare_small", refuse)
    with pytest.raises(errors.StorageFull):
        damaged.store.push("pca", DATA)
    assert marks(damaged) == 1


def test_records_of_a_damaged_version_say_so_and_others_have_no_such_key(damaged: OpStoreServer) -> None:
    store = damaged.store
    store.push("pca", b"newer")
    store.push("copy", b"third")
    found = store.show("pca@1.0.0")
    assert found.damaged == "its bytes do not match its digest"
    assert found.to_dict()["damaged"] == found.damaged
    assert "damaged" in repr(found)
    fine = store.show("pca")
    assert not fine.damaged
    assert "damaged" not in fine.to_dict()
    assert "damaged" not in repr(fine)
    assert [bool(each.damaged) for each in store.versions("pca")] == [False, True]
    store.register_pipeline("churn", ["pca", "copy"])
    store.link("pca@1.0.0", "copy")
    assert [bool(each.damaged) for each in store.resolve("churn")] == [True, False]
    assert store.push("pca", DATA, subversions=found.subversions).damaged is msgspec.UNSET
    assert not store.show("pca@1.0.0").damaged


@pytest.mark.local  # on PostgreSQL another daemon may have marked a blob
def test_no_push_and_no_pull_runs_a_further_statement_without_marks(server: OpStoreServer) -> None:
    with counted(server) as executed:
        server.store.push("pca", DATA)
        server.store.pull("pca")
    assert not [text for text in executed if text.lstrip().upper().startswith("DELETE") and "damaged_blob" in text]
    assert not [text for text in executed if "FROM damaged_blob" in text and "FROM version" not in text]


@pytest.mark.local
@pytest.mark.parametrize("how", ["a folder", "gone"])
@pytest.mark.parametrize("repair", few(1, [False, True]))
def test_a_page_lists_no_entries_of_a_damaged_folder(
    server: OpStoreServer, tmp_path: Path, how: str, repair: bool
) -> None:
    server.store.push("tokenizer", DATA, format="folder")
    path = blob_path(tmp_path / "blobs", DIGEST)
    DAMAGES[how](path, path)
    if repair:
        server.store.fsck(repair=True)
    listing = folder_listing(server.store.saver, server.store.show("tokenizer"))
    assert listing is not None
    assert (listing.entries, listing.is_whole) == ([], False)
    assert listing.problem


def test_a_blob_that_was_moved_is_marked_by_the_second_attempt(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk refuses the first commit, for the reserve to be given up."""
    server.store.push("pca", DATA)
    stored_blob(server, DIGEST).write(b"T" + DATA[1:])
    write = server.db.write_freeing

    def refuse_once(work: Any) -> Any:
        with suppress(ZeroDivisionError), server.db.write() as connection:
            work(connection)
            raise ZeroDivisionError
        return write(work)

    monkeypatch.setattr(server.db, "write_freeing", refuse_once)
    (finding,) = server.store.fsck(read_data=True, repair=True)
    assert (finding.marked, marks(server), DIGEST in server.store.saver) == (True, 1, False)


@pytest.mark.local
def test_a_marked_folder_is_not_listed_even_if_something_is_in_its_place(server: OpStoreServer, tmp_path: Path) -> None:
    data = folder_bytes(("vocab.txt", b"a"))
    server.store.push("tokenizer", data, format="folder")
    path = blob_path(tmp_path / "blobs", digest_of(data))
    path.unlink()
    server.store.fsck(repair=True)
    path.write_bytes(data)
    listing = folder_listing(server.store.saver, server.store.show("tokenizer"))
    assert listing is not None
    assert (listing.entries, listing.problem) == ([], "its bytes are damaged: it is gone")
