"""The records of the objects in an object store, in the store's database (savers.object_records)."""

import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Query, Statement, prepared
from opstore_daemon.metadata.tables import ObjectDraft, ObjectPart, StoredObject, aliased
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.object_records import (
    Collided,
    Discarded,
    DraftRecord,
    DraftTaken,
    InTrash,
    NewBlob,
    ObjectRecord,
    ObjectRecords,
    Part,
    State,
)

T = TypeVar("T")

PAGE = 1000  # drafts that one query returns
FENCE_BITS = 60
_PUBLISHABLE = ("draft", "blob", "trash")
TRIES = 5  # of a change that another daemon makes at the same moment


def microseconds() -> int:
    """Return the time of this machine, in microseconds since the epoch."""
    return time.time_ns() // 1000


class DatabaseObjectRecords(ObjectRecords):
    """Records in the tables `object`, `object_draft` and `object_part`."""

    def __init__(self, database: Database, now: Callable[[], int] = microseconds) -> None:
        """`now` returns the time in microseconds since the epoch."""
        self._database, self._now = database, now

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    # --- drafts -------------------------------------------------------------------------------------------------------

    def take(self, upload: str) -> DraftRecord:
        return self._again(lambda connection: self._take(connection, upload))

    def _take(self, connection: Connection, upload: str) -> DraftRecord:
        if _take(upload_=upload).run(connection).one_or_none() is None:
            key = uuid.uuid4().hex
            self._insert(connection, key)
            # Not from 1 on: a writer of an earlier draft of this upload, which was discarded, may still be there.
            _INSERT_DRAFT.run(connection, {"upload": upload, "key": key, "fence": secrets.randbits(FENCE_BITS)})
        return _existing_draft(connection, upload)

    def draft(self, upload: str) -> DraftRecord | None:
        with self._database.read() as connection:
            return _find_draft(connection, _draft(upload=upload))

    def fence(self, upload: str) -> int | None:
        with self._database.read() as connection:
            found: int | None = _fence(upload=upload).run(connection).scalar_one_or_none()
        return found

    def draft_of(self, key: str) -> DraftRecord | None:
        with self._database.read() as connection:
            return _find_draft(connection, _draft_of(key=key))

    def drafts(self) -> Iterator[str]:
        after: str | None = ""
        while after is not None:
            with self._database.read() as connection:
                found: Sequence[str] = _drafts(PAGE, after=after).run(connection).scalars().all()
            yield from found
            after = found[-1] if len(found) == PAGE else None

    def begin_multipart(self, upload: str, fence: int, multipart: str) -> None:
        with self._database.write(ordered=False) as connection:
            _fenced(connection, _begin_multipart(upload_=upload, fence_=fence, new=multipart))

    def add_parts(self, upload: str, fence: int, parts: Sequence[Part]) -> None:
        with self._database.write(ordered=False) as connection:
            _fenced(connection, _add_parts(upload_=upload, fence_=fence, count=sum(part.size for part in parts)))
            for part in parts:
                row = {"upload": upload, "number": part.number, "size": part.size}
                _INSERT_PART.run(connection, {**row, "etag": part.etag, "checksum": part.checksum})

    def set_tail(self, upload: str, fence: int, tail_key: str, tail_size: int) -> None:
        with self._database.write(ordered=False) as connection:
            _fenced(connection, _set_tail(upload_=upload, fence_=fence, new_key=tail_key, new_size=tail_size))

    def drop_parts(self, upload: str, fence: int, first: int) -> None:
        with self._database.write(ordered=False) as connection:
            _drop_parts(upload_=upload, first=first).run(connection)
            size = _size_of_parts(upload=upload).run(connection).scalar_one()
            _fenced(connection, _set_size(first == 1, upload_=upload, fence_=fence, new=size))

    def seal(self, upload: str, fence: int) -> DraftRecord:
        with self._database.write(ordered=False) as connection:
            _fenced(connection, _seal(upload_=upload, fence_=fence))
            found = _existing_draft(connection, upload)
            if not found.parts and found.tail_key is not None:
                _tail_is_object(upload_=upload).run(connection)
                _forget(key_=found.key).run(connection)
                return _existing_draft(connection, upload)
            return found

    def discard(self, upload: str) -> Discarded | None:
        with self._database.write(ordered=False) as connection:
            _drop_parts(upload_=upload, first=1).run(connection)
            row = _delete_draft(upload_=upload).run(connection).one_or_none()
            if row is None:
                return None
            keys = [key for key in (row.key, row.tail_key) if key is not None]
            objects = [key for key in keys if self._move(connection, key, "draft", "deleting")]
            return Discarded(row.key, row.multipart, bool(row.sealed), objects)

    def _again(self, change: Callable[[Connection], T]) -> T:
        """Make a change in a transaction, and again if another daemon makes one that it collides with."""
        for attempt in range(TRIES):
            try:
                # One after another from the second attempt on: of many that collide, one is through each time.
                with self._database.write(ordered=attempt > 0) as connection:
                    try:
                        return change(connection)
                    except IntegrityError as error:
                        raise Collided from error
            except Collided:
                if self.in_transaction:
                    raise
        raise errors.DatabaseFailed(reason=f"other daemons changed the same records {TRIES} times")

    # --- objects ------------------------------------------------------------------------------------------------------

    def begin(self, key: str) -> None:
        with self._database.write(ordered=False) as connection:
            self._insert(connection, key)

    def _insert(self, connection: Connection, key: str) -> None:
        _INSERT_OBJECT.run(connection, {"key": key, "state": "draft", "at": self._now()})

    def publish(self, key: str, digest: Digest, size: int) -> bool:
        try:
            return self._again(lambda connection: self._publish(connection, key, digest, size))
        except _NotPublished:
            return False

    def _publish(self, connection: Connection, key: str, digest: Digest, size: int) -> bool:
        now = self._now()
        if _publish(True, key_=key, new_digest=digest, new_size=size, now=now).run(connection).one_or_none():
            return True  # most often, the digest has no blob
        _replace(key_=key, digest_=digest, now=now).run(connection)
        if not _publish(False, key_=key, new_digest=digest, new_size=size, now=now).run(connection).one_or_none():
            raise _NotPublished  # rolls back what was moved to the trash
        return True

    def begin_all(self, keys: Sequence[str]) -> None:
        if keys:
            now = self._now()
            with self._database.write(ordered=False) as connection:
                connection.execute(insert(StoredObject), [{"key": key, "state": "draft", "at": now} for key in keys])

    def publish_all(self, blobs: Sequence[NewBlob]) -> set[str]:
        return self._again(lambda connection: self._publish_all(connection, blobs)) if blobs else set()

    def _publish_all(self, connection: Connection, blobs: Sequence[NewBlob]) -> set[str]:
        now, keys = self._now(), [blob.key for blob in blobs]
        # Locked until the commit: from here on nobody can delete them.
        locked = select(StoredObject.key).where(StoredObject.key.in_(keys), StoredObject.state.in_(_PUBLISHABLE))
        usable = set(connection.execute(locked.order_by(StoredObject.key).with_for_update()).scalars())
        rows = [
            {"key_": blob.key, "new_digest": blob.digest, "new_size": blob.size} for blob in blobs if blob.key in usable
        ]
        if rows:
            digests = [row["new_digest"] for row in rows]
            other = update(StoredObject).where(StoredObject.digest.in_(digests), StoredObject.state == "blob")
            connection.execute(other.where(StoredObject.key.not_in(usable)).values(state="trash", at=now))
            each = update(StoredObject).where(StoredObject.key == bindparam("key_"))
            each = each.values(state="blob", digest=bindparam("new_digest"), size=bindparam("new_size"), at=now)
            connection.execute(each, rows)
        return usable

    def blob(self, digest: Digest) -> ObjectRecord | None:
        with self._database.read() as connection:
            row = _of(digest=digest, state="blob").run(connection).one_or_none()
        return None if row is None else _record(row)

    def blobs(self, digests: Sequence[Digest]) -> Mapping[Digest, ObjectRecord]:
        query = select(*_OBJECT).where(StoredObject.digest.in_(digests), StoredObject.state == "blob")
        with self._database.read() as connection:
            return {Digest(row.digest): _record(row) for row in connection.execute(query)}

    def find(self, state: State, after: str, limit: int) -> Sequence[ObjectRecord]:
        with self._database.read() as connection:
            return [_record(row) for row in _find(limit, state=state, after=after).run(connection)]

    def of(self, digest: Digest, state: State) -> Sequence[ObjectRecord]:
        with self._database.read() as connection:
            return [_record(row) for row in _of(digest=digest, state=state).run(connection)]

    def trashed(self, after: str, limit: int) -> Sequence[InTrash]:
        with self._database.read() as connection:
            rows = _trashed(limit, after=after).run(connection).all()
        return [InTrash(Digest(row[0]), int(row[1]), row[2] / 1e6) for row in rows]

    def between(self, after: str, until: str, limit: int) -> Sequence[ObjectRecord]:
        with self._database.read() as connection:
            return [_record(row) for row in _between(limit, after=after, until=until).run(connection)]

    def recorded(self, keys: Sequence[str]) -> set[str]:
        with self._database.read() as connection:
            return set(connection.execute(select(StoredObject.key).where(StoredObject.key.in_(keys))).scalars())

    def leftovers(self, before: float, after: str, limit: int) -> Sequence[ObjectRecord]:
        with self._database.read() as connection:
            return [
                _record(row) for row in _leftovers(limit, before=int(before * 1e6), after=after).run(connection).all()
            ]

    def move(self, key: str, before: State, after: State) -> bool:
        with self._database.write(ordered=False) as connection:
            return self._move(connection, key, before, after)

    def _move(self, connection: Connection, key: str, before: State, after: State) -> bool:
        now = self._now()
        if after == "deleting" and before != "draft":
            _return_to_draft(key_=key, before=before, now=now).run(connection)
        moved = _move(after == "deleting", key_=key, before=before, after=after, now=now).run(connection)
        return moved.one_or_none() is not None

    def forget(self, *keys: str) -> None:
        with self._database.write(ordered=False) as connection:
            for key in keys:
                _forget(key_=key).run(connection)


class _NotPublished(Exception):
    """The object is being deleted."""


def _fenced(connection: Connection, query: Query) -> None:
    """Run a change of a draft; raise DraftTaken if the draft has a newer writer, or is gone."""
    if query.run(connection).one_or_none() is None:
        raise DraftTaken


def _existing_draft(connection: Connection, upload: str) -> DraftRecord:
    """Return the draft that this transaction has changed."""
    found = _find_draft(connection, _draft(upload=upload))
    assert found is not None, f"the transaction holds the row of {upload}"  # noqa: S101
    return found


def _find_draft(connection: Connection, query: Query) -> DraftRecord | None:
    row = query.run(connection).one_or_none()
    if row is None:
        return None
    parts = tuple(Part(*each) for each in _parts(upload=row.upload).run(connection))
    return DraftRecord(
        row.upload,
        row.key,
        row.multipart,
        row.size,
        row.tail_key,
        row.tail_size,
        row.fence,
        bool(row.sealed),
        parts,
    )


def _record(row: Any) -> ObjectRecord:
    digest = None if row.digest is None else Digest(row.digest)
    return ObjectRecord(row.key, row.state, digest, row.size, row.at / 1e6)


_INSERT_OBJECT = Statement(insert(StoredObject))
_INSERT_DRAFT = Statement(insert(ObjectDraft))
_INSERT_PART = Statement(insert(ObjectPart))
_OBJECT = (StoredObject.key, StoredObject.state, StoredObject.digest, StoredObject.size, StoredObject.at)
_DRAFT = (
    ObjectDraft.upload,
    ObjectDraft.key,
    ObjectDraft.multipart,
    ObjectDraft.size,
    ObjectDraft.tail_key,
    ObjectDraft.tail_size,
    ObjectDraft.fence,
    ObjectDraft.sealed,
)


def _has_draft(key: Any) -> Any:
    """Return the condition that an upload has the object."""
    return exists().where(or_(ObjectDraft.key == key, ObjectDraft.tail_key == key))


def _of_writer(upload: Any, fence: Any, **values: Any) -> Executable:
    mine = update(ObjectDraft).where(ObjectDraft.upload == upload, ObjectDraft.fence == fence)
    return mine.values(**values).returning(ObjectDraft.fence)


@prepared
def _take(*, upload_: str) -> Executable:
    taken = update(ObjectDraft).where(ObjectDraft.upload == upload_).values(fence=ObjectDraft.fence + 1)
    return taken.returning(ObjectDraft.fence)


@prepared
def _draft(*, upload: str) -> Executable:
    return select(*_DRAFT).where(ObjectDraft.upload == upload)


@prepared
def _fence(*, upload: str) -> Executable:
    return select(ObjectDraft.fence).where(ObjectDraft.upload == upload)


@prepared
def _draft_of(*, key: str) -> Executable:
    return select(*_DRAFT).where(ObjectDraft.key == key)


@prepared
def _drafts(limit: int, *, after: str) -> Executable:
    return select(ObjectDraft.upload).where(ObjectDraft.upload > after).order_by(ObjectDraft.upload).limit(limit)


@prepared
def _parts(*, upload: str) -> Executable:
    columns = (ObjectPart.number, ObjectPart.size, ObjectPart.etag, ObjectPart.checksum)
    return select(*columns).where(ObjectPart.upload == upload).order_by(ObjectPart.number)


@prepared
def _begin_multipart(*, upload_: str, fence_: int, new: str) -> Executable:
    return _of_writer(upload_, fence_, multipart=new)


@prepared
def _add_parts(*, upload_: str, fence_: int, count: int) -> Executable:
    size = ObjectDraft.size - ObjectDraft.tail_size + count
    return _of_writer(upload_, fence_, size=size, tail_key=None, tail_size=0)


@prepared
def _set_tail(*, upload_: str, fence_: int, new_key: str, new_size: int) -> Executable:
    size = ObjectDraft.size - ObjectDraft.tail_size + new_size
    return _of_writer(upload_, fence_, size=size, tail_key=new_key, tail_size=new_size)


@prepared
def _drop_parts(*, upload_: str, first: int) -> Executable:
    return delete(ObjectPart).where(ObjectPart.upload == upload_, ObjectPart.number >= first)


@prepared
def _size_of_parts(*, upload: str) -> Executable:
    return select(func.coalesce(func.sum(ObjectPart.size), 0)).where(ObjectPart.upload == upload)


@prepared
def _set_size(begins_again: bool, *, upload_: str, fence_: int, new: int) -> Executable:
    others = {"multipart": None} if begins_again else {}
    return _of_writer(upload_, fence_, size=new, tail_key=None, tail_size=0, **others)


@prepared
def _seal(*, upload_: str, fence_: int) -> Executable:
    return _of_writer(upload_, fence_, sealed=1)


@prepared
def _tail_is_object(*, upload_: str) -> Executable:
    changed = update(ObjectDraft).where(ObjectDraft.upload == upload_)
    return changed.values(key=ObjectDraft.tail_key, multipart=None, tail_key=None, tail_size=0)


@prepared
def _delete_draft(*, upload_: str) -> Executable:
    found = delete(ObjectDraft).where(ObjectDraft.upload == upload_)
    return found.returning(ObjectDraft.key, ObjectDraft.tail_key, ObjectDraft.multipart, ObjectDraft.sealed)


_BLOB: ColumnElement[str] = literal_column("'blob'")  # not a parameter: the index of blobs has this condition


@prepared
def _replace(*, key_: str, digest_: str, now: int) -> Executable:
    other = update(StoredObject).where(
        StoredObject.digest == digest_, StoredObject.state == _BLOB, StoredObject.key != key_
    )
    return other.values(state="trash", at=now)


@prepared
def _publish(only_new: bool, *, key_: str, new_digest: str, new_size: int, now: int) -> Executable:
    found = update(StoredObject).where(StoredObject.key == key_, StoredObject.state.in_(_PUBLISHABLE))
    if only_new:
        other = aliased(StoredObject)
        is_blob = and_(other.digest == new_digest, other.state == _BLOB, other.key != key_)
        found = found.where(~exists().where(is_blob).correlate(StoredObject))
    return found.values(state="blob", digest=new_digest, size=new_size, at=now).returning(StoredObject.key)


@prepared
def _of(*, digest: str, state: str) -> Executable:
    return select(*_OBJECT).where(StoredObject.digest == digest, StoredObject.state == state)


@prepared
def _find(limit: int, *, state: str, after: str) -> Executable:
    found = select(*_OBJECT).where(StoredObject.state == state, StoredObject.key > after)
    return found.order_by(StoredObject.key).limit(limit)


@prepared
def _trashed(limit: int, *, after: str) -> Executable:
    columns = (StoredObject.digest, func.sum(StoredObject.size), func.max(StoredObject.at))
    found = select(*columns).where(StoredObject.state == "trash", StoredObject.digest > after)
    return found.group_by(StoredObject.digest).order_by(StoredObject.digest).limit(limit)


@prepared
def _between(limit: int, *, after: str, until: str) -> Executable:
    found = select(*_OBJECT).where(StoredObject.key > after, StoredObject.key <= until)
    return found.order_by(StoredObject.key).limit(limit)


@prepared
def _leftovers(limit: int, *, before: int, after: str) -> Executable:
    nobodys = ~_has_draft(StoredObject.key)
    found = select(*_OBJECT).where(StoredObject.state.in_(("draft", "deleting")), StoredObject.key > after, nobodys)
    return found.where(StoredObject.at <= before).order_by(StoredObject.key).limit(limit)


@prepared
def _return_to_draft(*, key_: str, before: str, now: int) -> Executable:
    found = update(StoredObject).where(StoredObject.key == key_, StoredObject.state == before, _has_draft(key_))
    return found.values(state="draft", at=now)


@prepared
def _move(is_last: bool, *, key_: str, before: str, after: str, now: int) -> Executable:
    found = update(StoredObject).where(StoredObject.key == key_, StoredObject.state == before)
    if is_last:
        found = found.where(~_has_draft(key_))
    return found.values(state=after, at=now).returning(StoredObject.key)


@prepared
def _forget(*, key_: str) -> Executable:
    gone = delete(StoredObject).where(StoredObject.key == key_, StoredObject.state.in_(("draft", "deleting")))
    return gone.where(~_has_draft(key_))
