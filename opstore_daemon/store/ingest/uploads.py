"""Uploads: bytes on their way in, hashed as they come, that survive a lost connection and a restart.

The model is that of the IETF's "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload): create, append
at the offset, ask for the offset. Whoever asks becomes the only writer; an older connection that still sends to
the same upload is refused from then on. Memory holds the hash of each open upload and no bytes.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Executable, delete, insert, select, update

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Upload as UploadRow
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.samples import sample_of
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import journal
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest.open_upload import Declared, OpenUpload, Writer, check_size

MAX_OPEN = 256  # uploads whose file and hash are held open at once
TOUCH_INTERVAL = 3600 * 1_000_000  # microseconds after which another request is worth a note, and old uploads a look
RETENTION = 7 * 24 * 3600 * 1_000_000  # microseconds without a request, after which an upload is thrown away
RESERVE = 64 * 1024 * 1024  # bytes of the disk that an upload leaves free, for the database


class Uploads:
    """All uploads of a store. An owner is the name of a credential; to others an upload does not exist."""

    def __init__(self, database: Database, saver: BaseSaver, now: Callable[[], int]) -> None:
        self._database, self._saver, self._now = database, saver, now
        self._opened: OrderedDict[str, OpenUpload] = OrderedDict()
        self._lock = threading.Lock()
        self._expired_at = 0

    def create(self, owner: str, size: int | None) -> records.Upload:
        """A new upload, of `size` bytes where that is known; raises StorageFull where the disk has no room."""
        planned = self.plan(size)
        with self._database.write() as connection:
            self.enter(connection, planned, owner)
        return self.begin(planned, owner)

    def plan(self, size: int | None) -> records.Upload:
        """An upload that is to be entered and then begun."""
        if self._expired_at < self._now() - TOUCH_INTERVAL:
            self.expire()
        return records.Upload(upload=uuid.uuid4().hex, offset=0, size=size)

    def enter(self, connection: Connection, planned: records.Upload, owner: str) -> records.Upload:
        """Puts the upload on the books; raises StorageFull where the disk has no room for it."""
        self._check_room(planned.size)
        row = {"id": planned.upload, "owner": owner, "size": planned.size, "touched_at": self._now()}
        _ENTER.run(connection, row)
        return planned

    def _check_room(self, size: int | None) -> None:
        free = self._saver.free()
        if size is not None and free is not None and size > free - RESERVE:
            raise errors.StorageFull(reason=f"{size} bytes are to come, and {max(free - RESERVE, 0)} are free")

    def begin(self, entered: records.Upload, owner: str) -> records.Upload:
        """Opens the upload that is on the books now, so that its first append finds it open."""
        draft = self._saver.draft(entered.upload)
        return self._hold(OpenUpload(entered.upload, owner, entered.size, draft)).record()

    def claim(self, upload: str, owner: str) -> records.Upload:
        """How far the upload is; from now on only the asker's appends count.

        After a restart the bytes that are there are hashed again, beside what comes next. Raises UploadNotFound.
        """
        with self._holding(upload, owner) as held:
            held.writer = None
            return held.record()

    def page(self, owner: str, after: str, limit: int) -> list[records.UnfinishedUpload]:
        """At most `limit` of the owner's uploads behind that id. It disturbs none that goes on."""
        with self._database.read() as connection:
            rows = _page(owner=owner, after=after, limit=limit).run(connection).all()
        return [
            records.UnfinishedUpload(
                upload=row.id,
                offset=self._saver.kept(row.id),
                size=row.size,
                expires_at=journal.moment(row.touched_at + RETENTION),
            )
            for row in rows
        ]

    @contextmanager
    def _holding(self, upload: str, owner: str) -> Iterator[OpenUpload]:
        """The upload, with nobody else at it; raises UploadNotFound."""
        while True:
            held = self._held(upload, owner)
            with held.lock:
                if not held.closed:  # by who threw it away, or needed the room, since we looked
                    yield held
                    return

    def _held(self, upload: str, owner: str) -> OpenUpload:
        size, touched_at = self._row(upload, owner)
        if touched_at < self._now() - TOUCH_INTERVAL:
            with self._database.write() as connection:
                _touched(upload=upload, now=self._now()).run(connection)
        return self._opened.get(upload) or self._reopened(upload, owner, size)

    def _reopened(self, upload: str, owner: str, size: int | None) -> OpenUpload:
        try:
            held = self._hold(OpenUpload(upload, owner, size, self._saver.draft(upload)))
        except errors.StorageFailed:
            self._row(upload, owner)
            raise
        try:
            self._row(upload, owner)
        except errors.UploadNotFound:  # who threw it away meanwhile may not have seen this draft
            self.discard_bytes(upload)
            raise
        return held

    def writer(self, upload: str, owner: str, offset: int, length: int | None) -> Writer:
        """The right to append `length` bytes at the offset; quick enough for a loop that must not wait.

        Raises UploadNotFound, UploadNotOpen, OffsetMismatch or TooLarge.
        """
        held = self._opened.get(upload)
        if held is None or held.owner != owner:
            self._row(upload, owner)
            raise errors.UploadNotOpen(upload=upload)
        with held.try_lock():
            if held.writer is not None:
                raise errors.UploadNotOpen(upload=upload)
            if offset != held.draft.offset:
                raise errors.OffsetMismatch(upload=upload, offset=held.draft.offset, given=offset)
            check_size(held, offset + (length or 0))
            held.writer = Writer(held)
            return held.writer

    def check(self, upload: str, owner: str, declared: Declared) -> Blob:
        """What arrived; from now on nothing more is taken.

        Raises UploadNotFound, UploadIncomplete, and, with nothing kept, what `Declared.check` does. Where nothing was
        declared, they may be fewer than were sent (after a loss of power, or what a disk did not take): UploadNotOpen
        until somebody has asked for the offset.
        """
        with self._holding(upload, owner) as held:
            held.writer = None
            digest, checksum, offset = held.hash.digest(), held.hash.checksum(), held.draft.offset
            sample = sample_of(offset, held.read)
        if held.size is not None and offset < held.size:
            raise errors.UploadIncomplete(upload=upload, offset=offset, size=held.size)
        if not held.told and held.size is None and declared == Declared():
            raise errors.UploadNotOpen(upload=upload)
        try:
            declared.check(digest, checksum, offset)
        except errors.IntegrityFailure:
            self.discard(upload, owner)
            raise
        return Blob(digest, offset, sample)

    def publish(self, upload: str, owner: str, digest: Digest) -> None:
        """Makes the bytes a blob, whole and durable. The upload stays, so that a repetition finds it.

        Raises UploadNotOpen where somebody went on appending since `check`.
        """
        with self._holding(upload, owner) as held:
            held.writer = None
            if held.hash.digest() != digest:
                raise errors.UploadNotOpen(upload=upload)
            try:
                held.draft.publish(digest)
            except errors.Unavailable:
                # What the disk did not take is not to be relied on: the next to ask reads what is there.
                self._opened.pop(upload, None)
                held.close()
                raise

    def check_whole(self, data: bytes, declared: Declared) -> Blob:
        """What bytes make that are all at hand; raises what `Declared.check` does, or StorageFull."""
        self._check_room(len(data))
        digest = digest_of(data)
        declared.check(digest, checksum_of(new_sum(data)), len(data))
        return Blob(digest, len(data))

    def publish_whole(self, data: bytes, digest: Digest) -> None:
        """Makes these bytes a blob, whole and durable, by a draft that no upload is on the books for.

        What a crash leaves of it is thrown away at the next start.
        """
        upload = uuid.uuid4().hex
        draft = self._saver.draft(upload)
        try:
            draft.append(data)
            draft.publish(digest)
        finally:
            draft.close()
            self._saver.discard(upload)

    def discard(self, upload: str, owner: str) -> None:
        """Throws the upload away; raises UploadNotFound."""
        with self._database.write() as connection:
            self.delete_row(connection, upload, owner)
        self.discard_bytes(upload)

    def delete_row(self, connection: Connection, upload: str, owner: str | None = None) -> None:
        """Delete the upload's row in the caller's transaction; call `discard_bytes` after the commit.

        Raise UploadNotFound if the row is gone already: one upload makes one version.
        """
        forgotten = _delete(upload=upload) if owner is None else _delete(upload=upload, owner=owner)
        if forgotten.run(connection).one_or_none() is None:
            raise errors.UploadNotFound(upload=upload[:64])

    def discard_bytes(self, upload: str) -> None:
        """Lets the bytes go of an upload that is off the books."""
        held = self._opened.get(upload)
        if held is None:
            self._saver.discard(upload)
            return
        with held.lock:  # it stays among the open ones until then, so that all who throw it away wait for a publish
            held.close()
            self._saver.discard(upload)
        with self._lock:
            if self._opened.get(upload) is held:
                del self._opened[upload]

    def expire(self) -> None:
        """Throws away what nobody has asked for in a week."""
        self._expired_at = self._now()
        with self._database.read() as connection:
            expired = _untouched(since=self._now() - RETENTION).run(connection).scalars().all()
        for upload in expired:
            with suppress(errors.UploadNotFound):
                with self._database.write() as connection:
                    self.delete_row(connection, upload)
                self.discard_bytes(upload)

    def sweep(self) -> None:
        """At a start, before the first request: drafts without an upload are what a crash left behind."""
        self.expire()
        with self._database.read() as connection:
            known = set(connection.execute(select(UploadRow.id)).scalars())
        for upload in list(self._saver.drafts()):
            if upload not in known:
                self._saver.discard(upload)

    def close(self) -> None:
        """Lets go of all files; what was kept stays."""
        with self._lock:
            for held in self._opened.values():
                with held.lock:
                    held.close()
            self._opened.clear()

    def _row(self, upload: str, owner: str) -> tuple[int | None, int]:
        with self._database.read() as connection:
            row = _row(upload=upload, owner=owner).run(connection).one_or_none()
        if row is None:
            raise errors.UploadNotFound(upload=upload[:64])
        return row.size, row.touched_at

    def _hold(self, opened: OpenUpload) -> OpenUpload:
        with self._lock:
            held = self._opened.setdefault(opened.upload, opened)
            for other in list(self._opened.values()):
                if len(self._opened) <= MAX_OPEN:
                    break
                if other is not held and other.close_if_idle():
                    del self._opened[other.upload]
        if held is not opened:
            opened.close()
        return held


_ENTER = Statement(insert(UploadRow))


@prepared
def _row(*, upload: str, owner: str) -> Executable:
    return select(UploadRow.size, UploadRow.touched_at).where(UploadRow.id == upload, UploadRow.owner == owner)


@prepared
def _page(*, owner: str, after: str, limit: int) -> Executable:
    behind = select(UploadRow.id, UploadRow.size, UploadRow.touched_at).where(UploadRow.id > after)
    return behind.where(UploadRow.owner == owner).order_by(UploadRow.id).limit(limit)


@prepared
def _touched(*, upload: str, now: int) -> Executable:
    return update(UploadRow).where(UploadRow.id == upload).values(touched_at=now)


@prepared
def _untouched(*, since: int) -> Executable:
    return select(UploadRow.id).where(UploadRow.touched_at < since)


@prepared
def _delete(*, upload: str, owner: str | None = None) -> Executable:
    forgotten = delete(UploadRow).where(UploadRow.id == upload).returning(UploadRow.id)
    return forgotten if owner is None else forgotten.where(UploadRow.owner == owner)
