"""The records of objects: what each change allows and refuses, and that one writer of an upload counts."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers.conformance.common import all_at_once
from opstore_daemon.savers.object_records import Discarded, DraftRecord, DraftTaken, InTrash, NewBlob, Part
from opstore_daemon.store.object_records import DatabaseObjectRecords

UPLOAD, OTHER = "a" * 32, "b" * 32
DIGEST, ANOTHER = digest_of(b"one"), digest_of(b"other")
TIME = 1_000_000.0  # seconds


class Clock:
    now = TIME

    def __call__(self) -> int:
        return int(self.now * 1e6)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_sqlite = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/opstore.db" if is_sqlite else request.getfixturevalue("store_url"))
    database.create_all()
    yield database
    database.close()


@pytest.fixture
def records(database: Database, clock: Clock) -> DatabaseObjectRecords:
    return DatabaseObjectRecords(database, clock)


def part(number: int, size: int = 8) -> Part:
    return Part(number, size, f'"etag {number}"', f"checksum {number}")


def new(records: DatabaseObjectRecords) -> str:
    key = uuid.uuid4().hex
    records.begin(key)
    return key


def test_several_objects_are_recorded_and_forgotten_in_one_transaction(records: DatabaseObjectRecords) -> None:
    keys = [uuid.uuid4().hex for _ in range(3)]
    records.begin_all(keys)
    assert states(records) == dict.fromkeys(keys, "draft")
    assert records.publish(keys[0], DIGEST, 3)
    records.forget(*keys)
    assert states(records) == {keys[0]: "blob"}


def blob(records: DatabaseObjectRecords, size: int = 3) -> str:
    key = new(records)
    assert records.publish(key, DIGEST, size)
    return key


def states(records: DatabaseObjectRecords) -> dict[str, str]:
    return {each.key: each.state for each in records.between("", "g", 100)}


# --- drafts -----------------------------------------------------------------------------------------------------------


def test_a_draft_has_the_parts_and_the_tail_that_were_recorded(records: DatabaseObjectRecords) -> None:
    taken = records.take(UPLOAD)
    assert (taken.size, taken.parts, taken.tail_key, taken.multipart, taken.sealed) == (0, (), None, None, False)
    records.begin_multipart(UPLOAD, taken.fence, "multipart")
    records.add_part(UPLOAD, taken.fence, part(1))
    tail = new(records)
    records.set_tail(UPLOAD, taken.fence, tail, 5)
    found = records.draft(UPLOAD)
    assert found is not None
    assert (found.size, found.parts, found.tail_key, found.tail_size) == (13, (part(1),), tail, 5)
    assert (found.multipart, found.key) == ("multipart", taken.key)
    assert found == records.draft_of(taken.key)
    records.add_part(UPLOAD, taken.fence, part(2, 9))  # has the bytes of the tail
    found = records.draft(UPLOAD)
    assert found is not None
    assert (found.size, found.parts, found.tail_key, found.tail_size) == (17, (part(1), part(2, 9)), None, 0)
    assert states(records) == {taken.key: "draft", tail: "draft"}


def test_parts_are_recorded_together_or_none_of_them(records: DatabaseObjectRecords) -> None:
    taken = records.take(UPLOAD)
    with pytest.raises(errors.DatabaseFailed):
        records.add_parts(UPLOAD, taken.fence, (part(1), part(2), part(2)))
    assert records.draft(UPLOAD) == taken
    records.add_parts(UPLOAD, taken.fence, (part(1), part(2, 9)))
    found = records.draft(UPLOAD)
    assert found is not None
    assert (found.size, found.parts) == (17, (part(1), part(2, 9)))


def test_only_the_newest_writer_of_a_draft_records_anything(records: DatabaseObjectRecords) -> None:
    earlier, tail = records.take(UPLOAD), new(records)
    records.add_part(UPLOAD, earlier.fence, part(1))
    newest = records.take(UPLOAD)
    assert newest.fence == earlier.fence + 1 == records.fence(UPLOAD)
    changes = (
        lambda fence: records.begin_multipart(UPLOAD, fence, "multipart"),
        lambda fence: records.add_part(UPLOAD, fence, part(2)),
        lambda fence: records.set_tail(UPLOAD, fence, tail, 3),
        lambda fence: records.drop_parts(UPLOAD, fence, 1),
        lambda fence: records.seal(UPLOAD, fence),
    )
    for change in changes:
        with pytest.raises(DraftTaken):
            change(earlier.fence)
        assert records.draft(UPLOAD) == newest
    for change in changes:
        change(newest.fence)


def test_a_writer_of_a_discarded_draft_is_no_writer_of_a_new_one(records: DatabaseObjectRecords) -> None:
    earlier = records.take(UPLOAD)
    records.discard(UPLOAD)
    with pytest.raises(DraftTaken):
        records.add_part(UPLOAD, earlier.fence, part(1))
    new_one = records.take(UPLOAD)
    assert new_one.fence != earlier.fence
    with pytest.raises(DraftTaken):
        records.add_part(UPLOAD, earlier.fence, part(1))


def test_dropped_parts_and_the_tail_do_not_count(records: DatabaseObjectRecords) -> None:
    taken = records.take(UPLOAD)
    records.begin_multipart(UPLOAD, taken.fence, "multipart")
    for number in (1, 2, 3):
        records.add_part(UPLOAD, taken.fence, part(number, 10 * number))
    records.set_tail(UPLOAD, taken.fence, new(records), 5)
    records.drop_parts(UPLOAD, taken.fence, 2)
    found = records.draft(UPLOAD)
    assert found is not None
    assert (found.size, found.parts, found.tail_key, found.multipart) == (10, (part(1, 10),), None, "multipart")
    records.drop_parts(UPLOAD, taken.fence, 1)
    found = records.draft(UPLOAD)
    assert found is not None
    assert (found.size, found.parts, found.multipart) == (0, (), None)


def test_the_tail_of_a_draft_without_parts_becomes_its_object(records: DatabaseObjectRecords) -> None:
    taken, tail = records.take(UPLOAD), new(records)
    records.set_tail(UPLOAD, taken.fence, tail, 5)
    sealed = records.seal(UPLOAD, taken.fence)
    assert (sealed.key, sealed.size, sealed.tail_key, sealed.sealed) == (tail, 5, None, True)
    assert records.draft(UPLOAD) == sealed
    assert states(records) == {tail: "draft"}


def test_a_draft_is_discarded_once_and_its_published_object_stays(records: DatabaseObjectRecords) -> None:
    taken, tail = records.take(UPLOAD), new(records)
    records.begin_multipart(UPLOAD, taken.fence, "multipart")
    records.add_part(UPLOAD, taken.fence, part(1))
    records.set_tail(UPLOAD, taken.fence, tail, 5)
    assert records.discard(UPLOAD) == Discarded(taken.key, "multipart", False, [taken.key, tail])
    assert records.discard(UPLOAD) is None
    assert states(records) == {taken.key: "deleting", tail: "deleting"}
    other = records.take(OTHER)
    records.seal(OTHER, other.fence)
    assert records.publish(other.key, DIGEST, 0)
    assert records.discard(OTHER) == Discarded(other.key, None, True, [])
    assert states(records)[other.key] == "blob"
    assert list(records.drafts()) == []


def test_an_object_of_an_upload_is_a_draft_again_instead_of_deleted(records: DatabaseObjectRecords) -> None:
    taken = records.take(UPLOAD)
    for before in ("blob", "trash"):
        assert records.publish(taken.key, DIGEST, 3)
        assert before == "blob" or records.move(taken.key, "blob", "trash")
        assert not records.move(taken.key, before, "deleting")
        assert states(records) == {taken.key: "draft"}
    assert not records.move(taken.key, "draft", "deleting")
    records.forget(taken.key)
    assert states(records) == {taken.key: "draft"}


def test_all_drafts_are_listed_in_pages(records: DatabaseObjectRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_daemon.store.object_records.PAGE", 2)
    uploads = [f"{number:032x}" for number in range(5)]
    for upload in uploads:
        records.take(upload)
    assert list(records.drafts()) == uploads


# --- objects ----------------------------------------------------------------------------------------------------------


def test_a_published_object_replaces_the_blob_which_moves_to_the_trash(
    records: DatabaseObjectRecords, clock: Clock
) -> None:
    first = blob(records)
    clock.now += 10
    second = blob(records)
    found = records.blob(DIGEST)
    assert found is not None
    assert (found.key, found.state, found.digest, found.size, found.at) == (second, "blob", DIGEST, 3, TIME + 10)
    assert states(records) == {first: "trash", second: "blob"}
    assert records.publish(second, DIGEST, 3)  # once more: nothing changes
    assert records.publish(first, DIGEST, 3)  # out of the trash
    assert states(records) == {first: "blob", second: "trash"}


def test_an_object_that_is_being_deleted_is_not_published_and_replaces_nothing(records: DatabaseObjectRecords) -> None:
    first, late = blob(records), new(records)
    assert records.move(late, "draft", "deleting")
    assert not records.publish(late, DIGEST, 3)
    assert not records.publish(uuid.uuid4().hex, DIGEST, 3)  # forgotten already
    assert states(records) == {first: "blob", late: "deleting"}


def test_many_objects_are_published_together_except_those_that_are_being_deleted(
    records: DatabaseObjectRecords,
) -> None:
    before, keys = blob(records), sorted(uuid.uuid4().hex for _ in range(4))
    records.begin_all(keys)
    digests = [DIGEST, *(digest_of(name.encode()) for name in "abc")]
    old = new(records)
    assert records.publish(old, digests[1], 1)
    assert records.move(keys[1], "draft", "deleting")
    published = records.publish_all([NewBlob(*each, 7) for each in zip(keys, digests, strict=True)])
    assert published == {keys[0], *keys[2:]}
    expected = {before: "trash", old: "blob", keys[1]: "deleting"} | dict.fromkeys(published, "blob")
    assert states(records) == expected
    assert {each.key: each.size for each in records.blobs(digests).values()} == {old: 1} | dict.fromkeys(published, 7)
    assert records.publish_all([]) == set()


def test_an_object_moves_only_from_the_state_that_it_has(records: DatabaseObjectRecords) -> None:
    key = blob(records)
    assert not records.move(key, "trash", "deleting")
    assert records.move(key, "blob", "trash")
    assert not records.move(key, "blob", "trash")
    records.forget(key)
    assert states(records) == {key: "trash"}, "only what is being deleted is forgotten"
    assert records.move(key, "trash", "deleting")
    records.forget(key)
    assert states(records) == {}


def test_the_trash_is_listed_by_digest_with_all_objects_of_it(records: DatabaseObjectRecords, clock: Clock) -> None:
    keys = []
    for size in (3, 4):
        keys.append(blob(records, size))
        records.move(keys[-1], "blob", "trash")
        clock.now += 10
    other = new(records)
    records.publish(other, ANOTHER, 7)
    records.move(other, "blob", "trash")
    expected = sorted([InTrash(DIGEST, 7, TIME + 10), InTrash(ANOTHER, 7, TIME + 20)])
    assert list(records.trashed("", 10)) == expected
    assert list(records.trashed(expected[0].digest, 10)) == expected[1:]
    assert sorted(each.key for each in records.of(DIGEST, "trash")) == sorted(keys)


def test_objects_are_found_by_state_and_by_key(records: DatabaseObjectRecords) -> None:
    keys = sorted(new(records) for _ in range(5))
    assert [each.key for each in records.find("draft", keys[0], 2)] == keys[1:3]
    assert records.find("blob", "", 9) == []
    assert [each.key for each in records.between(keys[0], keys[3], 9)] == keys[1:4]
    assert records.recorded([*keys[:2], "f" * 32]) == set(keys[:2])


def test_leftovers_are_old_and_belong_to_no_upload(records: DatabaseObjectRecords, clock: Clock) -> None:
    taken, tail = records.take(UPLOAD), new(records)
    records.set_tail(UPLOAD, taken.fence, tail, 3)
    abandoned, deleting, _ = new(records), new(records), blob(records)
    records.move(deleting, "draft", "deleting")
    clock.now += 10
    young = new(records)
    found = [each.key for each in records.leftovers(TIME + 5, "", 9)]
    assert found == sorted([abandoned, deleting])
    assert [each.key for each in records.leftovers(TIME + 5, found[0], 9)] == found[1:]
    assert young in [each.key for each in records.leftovers(TIME + 10, "", 9)]


# --- transactions -----------------------------------------------------------------------------------------------------


def test_changes_inside_of_a_transaction_are_seen_there_and_rolled_back_with_it(
    records: DatabaseObjectRecords, database: Database
) -> None:
    key = blob(records)

    def change() -> None:
        with database.write():
            assert records.in_transaction
            assert records.move(key, "blob", "trash")
            assert records.blob(DIGEST) is None
            records.take(UPLOAD)
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert not records.in_transaction
    assert states(records) == {key: "blob"}
    assert list(records.drafts()) == []


# --- several daemons --------------------------------------------------------------------------------------------------


def test_daemons_that_publish_the_same_digest_at_once_leave_one_blob(records: DatabaseObjectRecords) -> None:
    for _ in range(5):
        keys = [new(records) for _ in range(8)]
        assert all_at_once([partial(records.publish, key, DIGEST, 3) for key in keys]) == []
        found = states(records)
        assert sorted(found[key] for key in keys) == ["blob"] + ["trash"] * 7


@pytest.mark.slow
def test_daemons_that_take_the_same_upload_at_once_have_different_fences(records: DatabaseObjectRecords) -> None:
    for number in range(5):
        taken: list[DraftRecord] = []
        upload = f"{number:032x}"
        assert all_at_once([lambda upload=upload, taken=taken: taken.append(records.take(upload))] * 8) == []  # type: ignore[misc]
        assert len({each.fence for each in taken}) == 8
        assert len({each.key for each in taken}) == 1
        assert max(each.fence for each in taken) == records.fence(upload)


def test_a_deletion_and_a_publication_at_once_are_one_or_the_other(records: DatabaseObjectRecords) -> None:
    for _ in range(20):
        key = new(records)
        results: dict[str, bool] = {}
        jobs: list[Callable[[], object]] = [
            lambda key=key, results=results: results.update(moved=records.move(key, "draft", "deleting")),  # type: ignore[misc]
            lambda key=key, results=results: results.update(published=records.publish(key, DIGEST, 3)),  # type: ignore[misc]
        ]
        assert all_at_once(jobs) == []
        assert results["moved"] is not results["published"]
        assert (states(records)[key] == "blob") is results["published"]
